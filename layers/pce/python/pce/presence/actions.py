"""Actions that wait for a VEN, as its presence row keeps them.

An entry is ``kind[:argument][#nonce]``, entries are separated by commas. The whole entry is the
action's id: a VEN carries out an id once, so an action that may be asked for again has a nonce.
"""

from typing import NamedTuple

from ven_protocol.messages import Action, ActionType

PARAMETER: dict[str, str] = {
    "unpair": "firewall_restore",
    "upgrade": "release",
    "maintenance_token": "accept",
}
"""What the argument of an action is called in ``Action.params``."""


class Entry(NamedTuple):
    """One entry, taken apart."""

    id: str
    kind: str
    argument: str
    nonce: str


def entry(kind: ActionType, argument: str = "", nonce: str = "") -> str:
    """An entry as it is stored."""
    return kind + (f":{argument}" if argument else "") + (f"#{nonce}" if nonce else "")


def entries(text: str) -> tuple[Entry, ...]:
    """The entries in the stored text."""
    found = []
    for id in filter(None, text.split(",")):
        named, _, nonce = id.partition("#")
        kind, _, argument = named.partition(":")
        found.append(Entry(id, kind, argument, nonce))
    return tuple(found)


def pending_actions(text: str) -> tuple[Action, ...]:
    """The stored text as the VEN is told it."""
    return tuple(
        Action(
            id=each.id,
            type=each.kind,
            params={PARAMETER[each.kind]: each.argument}
            if each.argument and each.kind in PARAMETER
            else {},
        )
        for each in entries(text)
    )


def with_action(text: str, added: str) -> str:
    """The stored text and one entry more, which takes the place of others of its kind."""
    [new] = entries(added)
    kept = [each.id for each in entries(text) if each.kind != new.kind]
    return ",".join((*kept, added))


def without(text: str, done: list[str]) -> str:
    """The stored text without the entries that the VEN reported done."""
    return ",".join(each.id for each in entries(text) if each.id not in done)
