"""What the IP lists and virtual services that rules name say: addresses, domain names, problems."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pce.policy.estate import Estate
from pce.policy.recompute import PolicyProblem, members_said, names_said
from pce.policy.resolve import ResolvedRule
from pce.policy.selectors import AddressSelector


@dataclass(frozen=True, slots=True)
class Said:
    """What one list says."""

    members: list[str]
    names: list[str]
    problems: tuple[PolicyProblem, ...]


class Lists:
    """The lists that rules use, each read once and again when it changes."""

    def __init__(self) -> None:
        self.said: dict[AddressSelector, Said] = {}
        self._users = Counter[AddressSelector]()
        self._used_by: dict[str, set[AddressSelector]] = {}
        """By rule id."""

    def use(self, estate: Estate, rule_id: str, resolved: ResolvedRule | None) -> None:
        """This is what the rule is now; lists that it is the first to use are read."""
        used = _lists_of(resolved) if resolved else set()
        before = self._used_by.pop(rule_id, set())
        if not used and not before:
            return
        if used:
            self._used_by[rule_id] = used
        for selector in used - before:
            self._users[selector] += 1
            if selector not in self.said:
                self._read(estate, selector)
        for selector in before - used:
            self._users[selector] -= 1
            if not self._users[selector]:
                del self._users[selector], self.said[selector]

    def read_again(self, estate: Estate, changed: Iterable[AddressSelector]) -> None:
        """Read those of the changed lists again that are in use."""
        for selector in changed:
            if selector in self.said:
                self._read(estate, selector)

    def problems(self) -> Iterable[PolicyProblem]:
        """Of all lists in use."""
        for said in self.said.values():
            yield from said.problems

    def _read(self, estate: Estate, selector: AddressSelector) -> None:
        problems: list[PolicyProblem] = []
        members = members_said(
            estate, selector, lambda where, what: problems.append(PolicyProblem(where, what))
        )
        self.said[selector] = Said(members, names_said(estate, selector), tuple(problems))


def _lists_of(resolved: ResolvedRule) -> set[AddressSelector]:
    return {
        peer
        for join in resolved.joins
        for peer in (*join.providers.peers, *join.consumers.peers)
        if isinstance(peer, AddressSelector)
    }
