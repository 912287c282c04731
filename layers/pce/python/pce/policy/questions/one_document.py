"""The document of one workload, without computing anybody else's.

For hosts that no compile makes a document for: what a switch should do for the workload behind one
of its ports. A property test holds it and the full recompute to each other.
"""

from collections.abc import Iterable

from pce.policy.estate import Workload
from pce.policy.questions.rule_index import Held, RuleIndex
from pce.policy.recompute import line_id, members_said, names_said
from pce.policy.repeats import without_repeats
from pce.policy.selectors import AddressSelector, Selector
from ven_protocol.policy import PolicyDocument, Rule


class Documents:
    """Documents of single workloads of one index, whose estate has all workloads.

    Cost of one: the rules that it holds, and each address set once, which looks at every workload.
    """

    def __init__(self, index: RuleIndex) -> None:
        self._index = index
        self._members: dict[str, list[str]] = {}
        """Of address sets, by their id."""

    def of(self, workload: Workload) -> PolicyDocument:
        """What the workload's VEN would be given, whether or not it has one."""
        kind = self._index.kinds.of(workload)
        held = [] if kind.mode == "idle" else list(self._index.held_by(workload))
        rules = lines(held)
        peers = {selector.set_id: selector for one in held for selector in one.peers}
        mentioned = sorted({set_id for line in rules for set_id in line.peers})
        names = {set_id: names_said(self._index.estate, peers[set_id]) for set_id in mentioned}
        return PolicyDocument(
            mode=kind.mode,
            visibility=kind.visibility,
            firewall=kind.firewall,
            sets={set_id: self._members_of(peers[set_id]) for set_id in mentioned},
            names={set_id: found for set_id, found in names.items() if found},
            rules=rules,
            not_enforced=list(kind.not_enforced),
        )

    def _members_of(self, selector: Selector) -> list[str]:
        if selector.set_id not in self._members:
            self._members[selector.set_id] = self._read(selector)
        return self._members[selector.set_id]

    def _read(self, selector: Selector) -> list[str]:
        estate = self._index.estate
        if isinstance(selector, AddressSelector):
            return members_said(estate, selector, _ignore)
        return sorted(
            {
                address
                for workload in estate.workloads
                if selector.matches(workload)
                for address in self._index.kinds.addresses_of(workload, _ignore)
            }
        )


def lines(held: Iterable[Held]) -> list[Rule]:
    """The lines of a document, from what its firewall holds of each rule."""
    peers: dict[str, set[str]] = {}
    of: dict[str, Held] = {}
    for one in held:
        id = line_id(one.rule.id, one.join.part, one.direction)
        peers.setdefault(id, set()).update(selector.set_id for selector in one.peers)
        of[id] = one
    return without_repeats(
        Rule(
            id=id,
            direction=one.direction,
            action=one.rule.action,
            peers=sorted(peers[id]),
            services=list(one.join.services),
            stateless=one.rule.stateless,
        )
        for id, one in of.items()
    )


def _ignore(*what: str) -> None:
    """Problems are the compile's matter."""
