"""Selectors in use and classes of workloads, and what each knows of the other.

A **class** is the workloads that no selector in use can tell apart: the facts that some selector
asks about (a label, a workload's id, a binding, being a container host) are the same for all of
them. An **audience** is a selector with what it selects and what rules make of it.
"""

from pce.policy.kinds import Kind
from pce.policy.parts import Block, Target, block_id
from pce.policy.selectors import AddressSelector, Selector
from ven_protocol.policy import Rule

Fact = tuple[str, ...]
"""Key and id of a label; or one of the others, which have three parts."""
Others = tuple[tuple[bool, frozenset[Fact]], ...]
"""Groups of facts of which a class must have one or, with True, none."""
CONTAINER_HOST: Fact = ("container_host", "", "")


class Line:
    """What one selector gets from one rule in one direction."""

    __slots__ = ("digest", "id", "peers", "rule")

    def __init__(self, rule: Rule, digest: str, peers: tuple["Audience", ...]) -> None:
        self.id = rule.id
        self.rule = rule
        self.digest = digest
        self.peers = peers


class Audience:
    """A selector in use, what it selects, and what rules make of it."""

    __slots__ = (
        "allows",
        "block_digest",
        "block_slot",
        "classes",
        "denies",
        "digest",
        "fact_list",
        "further_fact",
        "lines",
        "members",
        "mentioned_by",
        "mentions",
        "names",
        "needed",
        "needs",
        "others",
        "selector",
        "set_id",
        "set_slot",
        "sorted_lines",
        "total",
        "vens",
        "width",
    )

    def __init__(self, selector: Selector) -> None:
        self.selector = selector
        self.set_id = selector.set_id
        self.fact_list: tuple[Fact, ...] = ()
        """What it is filed under; empty: it is tried always."""
        self.further_fact: Fact | None = None
        """What it is filed under there."""
        self.needs, self.others = _required(selector)
        """Facts that a class must have, all of them; and what else it asks of them."""
        self.classes: set[HostClass] = set()
        self.members: list[str] | None = [] if isinstance(selector, AddressSelector) else None
        """Of an address selector, which says its members itself."""
        self.names: list[str] = []
        self.total = 0
        """Sum of the members' hashes."""
        self.digest = ""
        self.needed: str | None = None
        """Digest of the set version that some document mentions now."""
        self.vens = 0
        """VENs of its classes that filter, as far as they are counted."""
        self.lines: dict[str, Line] = {}
        self.sorted_lines: list[Line] | None = None
        self.mentions: dict[Audience, int] = {}
        """Peers of its lines, and in how many."""
        self.mentioned_by: set[Audience] = set()
        self.allows = 0
        """Lines with allow rules that mention it."""
        self.denies = 0
        self.width = 0
        """VENs of the audiences whose lines mention it; one in two of them counts twice."""
        self.set_slot: int | None = None
        """Its slot while its set is wide."""
        self.block_slot: int | None = None
        self.block_digest = ""

    @property
    def block_id(self) -> str:
        """The part id of its block."""
        return block_id(self.set_id)

    def in_order(self) -> list[Line]:
        """Its lines sorted by id; kept until a line changes."""
        if self.sorted_lines is None:
            self.sorted_lines = sorted(self.lines.values(), key=_line_id)
        return self.sorted_lines

    def block(self) -> Block:
        """What is stored of it when its block is wide."""
        return Block(
            lines=[line.rule for line in self.in_order()],
            names={peer.set_id: peer.names for peer in self.mentions if peer.names},
        )


def _line_id(line: Line) -> str:
    return line.id


class HostClass:
    """Workloads that no selector in use can tell apart."""

    __slots__ = ("addresses", "audiences", "counted", "facts", "members", "targets")

    def __init__(self, facts: frozenset[Fact]) -> None:
        self.facts = facts
        self.audiences: list[Audience] = []
        """Those that select it."""
        self.members: dict[Kind | None, set[str]] = {}
        """Ids of its workloads by kind; without a VEN: None."""
        self.addresses: dict[str, int] = {}
        """Address to the number of its workloads that lend it."""
        self.counted = 0
        """VENs that filter, as counted in its audiences' ``vens``."""
        self.targets: dict[Kind, Target] = {}

    def vens(self) -> int:
        """The number of its VENs that filter: managed, in any mode but ``idle``."""
        return sum(len(ids) for kind, ids in self.members.items() if kind and kind.mode != "idle")


def _required(
    selector: Selector,
) -> tuple[frozenset[Fact], Others]:
    """What a selector asks of facts, see ``Audience.needs`` and ``others``."""
    needs: set[Fact] = set()
    others: list[tuple[bool, frozenset[Fact]]] = []
    if isinstance(selector, AddressSelector):
        return frozenset(), ()
    for key, negated, ids in selector.conditions:
        facts = [(key, id) for id in ids]
        if len(facts) == 1 and not negated:
            needs.add(facts[0])
        else:
            others.append((negated, frozenset(facts)))
    if selector.workload_id is not None:
        needs.add(("workload", selector.workload_id, ""))
    if selector.bound_to is not None:
        needs.add(("bound", selector.bound_to, ""))
    if selector.container_host:
        needs.add(CONTAINER_HOST)
    return frozenset(needs), tuple(others)
