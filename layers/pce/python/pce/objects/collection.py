"""What the collections of the management API have in common, as a value per collection.

Each collection's own module says what its objects hold; this one says what may be said of any
collection, and does what all of them need: new and changed documents, names that must be unique,
the short form in audit events, and what clients see.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pce.errors import Invalid, Problem
from pce.objects.fields import Shape, Text
from pce.objects.filters import Filter
from pce.objects.hrefs import PROVISIONABLE

Document = Mapping[str, Any]

EXTERNAL_DATA = {"external_data_set": Text(), "external_data_reference": Text()}
"""Attributes by which another system finds its objects again; every collection has them."""


def nothing_more(document: Document) -> Iterable[Problem]:
    """The default of ``Collection.whole_check``."""
    return ()


def as_sent(body: Any) -> Any:
    """The default of ``Collection.translate``."""
    return body


@dataclass(frozen=True)
class Collection:
    """One collection: what its objects are called, hold and promise."""

    name: str
    """Last part of its path, and where its documents are stored."""
    kind: str
    """One of its objects, as audit events and error tokens call it."""
    shape: Shape
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of attributes that a new object was not given."""
    immutable: tuple[str, ...] = ()
    """Attributes that never change after creation."""
    unique: tuple[tuple[str, ...], ...] = (("name",),)
    """Groups of attributes that no two objects may share, apart from the external data."""
    translate: Callable[[Any], Any] = as_sent
    """Turns older spellings of a request's body into the present ones."""
    whole_check: Callable[[Document], Iterable[Problem]] = nothing_more
    """What must hold between the attributes of a complete document."""
    filters: Mapping[str, Callable[[str], Filter]] = field(default_factory=dict)
    """Query parameter to what it asks of a stored document."""
    searched: tuple[str, ...] = ("name",)
    """Text attributes whose exact matches sort first, because some clients take the first."""
    numbered: bool = True
    """Ids are whole numbers; otherwise UUIDs."""
    named_by: str = ""
    """The attribute that is the id too, for objects that other systems name; empty for all others.
    It never changes."""
    keeps_deleted: bool = False
    """A deleted object stays readable by its href, with ``deleted: true``."""
    caps: tuple[str, ...] = ("write",)
    display: Callable[[Document], dict[str, Any]] = dict
    """Adds to a stored document what clients expect beyond it."""
    private: tuple[str, ...] = ()
    """Attributes of stored documents that clients never see."""
    shown_in_events: tuple[str, ...] = ("href", "name")

    @property
    def provisionable(self) -> bool:
        """Whether its objects have drafts and policy versions."""
        return self.name in PROVISIONABLE

    @property
    def stored_in(self) -> str:
        """The object store's collection of its documents (drafts, when it is provisionable)."""
        return f"draft#{self.name}" if self.provisionable else self.name

    def new_document(self, body: Any) -> dict[str, Any]:
        """The attributes of a new object; raises :class:`Invalid` with all that is wrong."""
        said = self.shape.clean(self.translate(body))
        given = {name: value for name, value in said.items() if value is not None}
        document = {**self.shape.empty(), **self.defaults, **given}
        self._check_whole(document)
        return document

    def changed_document(self, document: Document, body: Any) -> dict[str, Any]:
        """The document with what a partial update says; raises :class:`Invalid`, whose messages
        name the document."""
        try:
            return self._changed(document, body)
        except Invalid as error:
            href = str(document["href"])
            raise Invalid(
                problem
                if href in problem.message
                else replace(problem, message=f"{href}: {problem.message}")
                for problem in error.problems
            ) from error

    def _changed(self, document: Document, body: Any) -> dict[str, Any]:
        said = self.shape.clean(self.translate(body), partial=True)
        problems = [
            Problem(
                f"{self.kind}_{name}_immutable",
                f"{name} of {document['href']} is {document.get(name)!r} for ever; create another"
                f" {self.kind} for {said[name]!r}",
                name,
            )
            for name in self.immutable
            if name in said and said[name] != document.get(name)
        ]
        if problems:
            raise Invalid(problems)
        changed = {**document, **said}
        self._check_whole(changed)
        return changed

    def _check_whole(self, document: Document) -> None:
        problems = [*_external_data_problems(document), *self.whole_check(document)]
        if problems:
            raise Invalid(problems)

    def claims(self, document: Document) -> list[str]:
        """Names that only this object may hold while it exists."""
        if document.get("names_freed"):
            return []
        claims = []
        for at, attributes in enumerate(self.unique):
            values = [_claim_text(document.get(name)) for name in attributes]
            if all(values):
                # A name of the second kind takes none of the first: one object may have both alike.
                kind = ("+".join(attributes),) if at else ()
                claims.append("#".join((self.name, *kind, *_claim_values(values))))
        pair = [document.get("external_data_set"), document.get("external_data_reference")]
        if all(pair):
            digest = hashlib.sha256(json.dumps(pair).encode()).hexdigest()
            claims.append(f"{self.name}#external#{digest}")
        return claims

    def shown(self, document: Document) -> dict[str, Any]:
        """What clients see of a stored document."""
        visible = {name: v for name, v in document.items() if name not in self.private}
        caps = [] if document.get("deleted") else list(self.caps)
        return {**self.display(visible), "caps": caps}

    def in_event(self, document: Document) -> dict[str, Any]:
        """The short form of an object in an audit event."""
        return {name: document.get(name) for name in self.shown_in_events}

    def changes(self, before: Document | None, after: Document | None) -> dict[str, Any]:
        """What changed between two states, attribute by attribute, as audit events show it."""
        before, after = before or {}, after or {}
        return {
            name: _change(before.get(name), after.get(name))
            for name in self.shape.fields
            if (before.get(name) or None) != (after.get(name) or None)
        }


def _change(before: Any, after: Any) -> dict[str, Any]:
    """Values before and after; of lists the entries that came and went, so that an event stays
    small however long the list is."""
    if not isinstance(before, list) and not isinstance(after, list):
        return {"before": before, "after": after}
    had, has = before or [], after or []
    return {
        "created": _not_in(had, has)[:MAX_ENTRIES_IN_EVENT],
        "deleted": _not_in(has, had)[:MAX_ENTRIES_IN_EVENT],
        "updated": [],
    }


MAX_ENTRIES_IN_EVENT = 100
"""Entries of a list that an event shows as created or deleted: an event must fit into one item."""


def _not_in(others: list[Any], entries: list[Any]) -> list[Any]:
    known = {json.dumps(entry, sort_keys=True) for entry in others}
    return [entry for entry in entries if json.dumps(entry, sort_keys=True) not in known]


def _external_data_problems(document: Document) -> Iterable[Problem]:
    given = [document.get("external_data_set"), document.get("external_data_reference")]
    if any(given) and not all(given):
        yield Problem(
            "external_data_incomplete",
            "external_data_set and external_data_reference must be given both or not at all",
            "external_data_set",
        )


def _claim_text(value: Any) -> str:
    """An attribute as part of a claim; empty when there is nothing to claim."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, sort_keys=True)


def _claim_values(values: list[str]) -> list[str]:
    """Values as parts of a key of 1,024 bytes, in which ``#`` stands between parts."""
    return [
        value
        if len(value) <= MAX_PLAIN_CLAIM and "#" not in value and value.isascii()
        else hashlib.sha256(value.encode()).hexdigest()
        for value in values
    ]


MAX_PLAIN_CLAIM = 255
"""Characters of a name that are written out in a claim, for people who look at the table."""
