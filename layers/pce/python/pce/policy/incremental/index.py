"""Selectors and classes of workloads, and an index that finds one from the other.

A **class** is the workloads that no selector in use can tell apart: the facts that some selector
asks about (a label, a workload's id, a binding, being a container host) are the same for all of
them. An **audience** is a selector with what it selects and what rules make of it.

Each audience is filed under the facts of its tightest restriction, one of which a workload must
have, and there under one more fact that it must have, if any. So a class is tried only against
audiences that are filed under its own facts, and against those that nothing restricts.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from pce.policy.estate import Workload
from pce.policy.kinds import Kind
from pce.policy.parts import Block, Target, block_id
from pce.policy.selectors import AddressSelector, Selector
from ven_protocol.policy import Rule

Fact = tuple[str, ...]
"""Key and id of a label; or one of the others, which have three parts."""
Others = tuple[tuple[bool, frozenset[Fact]], ...]
"""Groups of facts of which a class must have one or, with True, none."""
_CONTAINER_HOST: Fact = ("container_host", "", "")


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


class Index:
    """All audiences and classes."""

    def __init__(self, uses: Counter[str]) -> None:
        """``uses``: label id to the number of workloads that have it, kept up to date elsewhere."""
        self.audiences: dict[str, Audience] = {}
        """By set id."""
        self.classes: dict[frozenset[Fact], HostClass] = {}
        self.always: dict[Audience, None] = {}
        self.tried = 0
        """Tests of a selector against a class so far."""
        self._uses = uses
        self._asked: dict[Fact, Fact] = {}
        """What selectors ask about: the facts of all classes are these very objects."""
        self._filed: dict[Fact, dict[Fact | None, list[Audience]]] = {}
        self._classes_with: dict[Fact, set[HostClass]] = {}
        self._holder: dict[str, HostClass] = {}
        """Address to a class that lends it."""
        self._further_holders: dict[str, set[HostClass]] = {}
        """Address to the others that do; few addresses have any."""

    def add(self, selector: Selector) -> tuple[Audience, list[Fact]]:
        """A new audience, filed, and the facts that nobody asked about before. It has no classes
        yet; those made from now on find it."""
        audience = Audience(selector)
        self.audiences[audience.set_id] = audience
        if isinstance(selector, AddressSelector):
            return audience, []
        asked = audience.needs
        if audience.others:
            asked = asked.union(*[facts for _, facts in audience.others])
        fresh = list(asked.difference(self._asked))
        for fact in fresh:
            self._asked[fact] = fact
        audience.fact_list, audience.further_fact = self._tightest(audience)
        for fact in audience.fact_list:
            there = self._filed.setdefault(fact, {})
            there.setdefault(audience.further_fact, []).append(audience)
        if not audience.fact_list:
            self.always[audience] = None
        return audience, fresh

    def remove(self, audience: Audience) -> None:
        """Forget an audience. The facts that it asked about stay asked: classes stay apart."""
        del self.audiences[audience.set_id]
        self.always.pop(audience, None)
        for fact in audience.fact_list:
            there = self._filed[fact]
            there[audience.further_fact].remove(audience)
            if not there[audience.further_fact]:
                del there[audience.further_fact]
            if not there:
                del self._filed[fact]
        for host_class in audience.classes:
            host_class.audiences.remove(audience)

    def candidates(self, audience: Audience) -> Iterable[HostClass]:
        """The classes that a filed audience may select."""
        if isinstance(audience.selector, AddressSelector):
            return ()
        if not audience.fact_list:
            return self.classes.values()
        found: set[HostClass] = set()
        for fact in audience.fact_list:
            found |= self._classes_with.get(fact, set())
        return found

    def class_of(self, workload: Workload) -> HostClass:
        """The class of a workload; a new one is matched with every audience that may select it."""
        facts = self._facts(workload)
        host_class = self.classes.get(facts)
        if host_class is None:
            host_class = self.classes[facts] = HostClass(facts)
            may_select = list(self.always)
            for fact in facts:
                self._classes_with.setdefault(fact, set()).add(host_class)
                there = self._filed.get(fact)
                if there is not None:
                    for further in (None, *facts):
                        may_select += there.get(further, ())
            self.match(may_select, host_class)
        return host_class

    def match(self, audiences: Collection[Audience], host_class: HostClass) -> list[Audience]:
        """Those of the audiences that select the class and did not yet."""
        self.tried += len(audiences)
        facts = host_class.facts
        found = [audience for audience in audiences if audience.needs <= facts]
        found = [
            audience
            for audience in found
            if host_class not in audience.classes
            and (not audience.others or _meets(facts, audience.others))
        ]
        for audience in found:
            audience.classes.add(host_class)
        host_class.audiences += found
        return found

    def drop(self, host_class: HostClass) -> None:
        """Forget a class without workloads."""
        del self.classes[host_class.facts]
        for fact in host_class.facts:
            self._classes_with[fact].discard(host_class)
            if not self._classes_with[fact]:
                del self._classes_with[fact]
        for audience in host_class.audiences:
            audience.classes.discard(host_class)

    def lend(self, host_class: HostClass, address: str) -> None:
        """One more workload of the class lends this address."""
        count = host_class.addresses.get(address, 0)
        host_class.addresses[address] = count + 1
        if not count and self._holder.setdefault(address, host_class) is not host_class:
            self._further_holders.setdefault(address, set()).add(host_class)

    def take_back(self, host_class: HostClass, address: str) -> None:
        """One workload of the class fewer lends this address."""
        if host_class.addresses[address] > 1:
            host_class.addresses[address] -= 1
            return
        del host_class.addresses[address]
        others = self._further_holders.get(address)
        if others is None:
            del self._holder[address]
            return
        if self._holder[address] is host_class:
            self._holder[address] = others.pop()
        else:
            others.discard(host_class)
        if not others:
            del self._further_holders[address]

    def has_member(self, audience: Audience, address: str) -> bool:
        """Is the address in the audience's set? Linear in the classes that lend it or in those of
        the audience, whichever are fewer."""
        if self._holder.get(address) in audience.classes:
            return True
        others = self._further_holders.get(address)
        return others is not None and not others.isdisjoint(audience.classes)

    def shared(self) -> Iterator[tuple[str, tuple[HostClass, ...]]]:
        """Every address that several classes lend, with all of these."""
        for address, others in self._further_holders.items():
            yield address, (self._holder[address], *others)

    def label_keys(self) -> list[str]:
        """The keys of all labels that some selector asks about. Linear in these."""
        return list({fact[0] for fact in self._asked if len(fact) == 2})

    def has_other_facts(self, workload: Workload) -> bool:
        """May it be told apart by more than its labels?"""
        return bool(
            workload.bound
            or workload.container_host
            or ("workload", workload.id, "") in self._asked
        )

    def _facts(self, workload: Workload) -> frozenset[Fact]:
        """Those of a workload's facts that some selector asks about."""
        facts: list[Fact] = list(workload.labels.items())
        if self.has_other_facts(workload):
            facts += [("workload", workload.id, "")]
            facts += [("bound", id, "") for id in workload.bound]
            facts += [_CONTAINER_HOST] * workload.container_host
        return frozenset(filter(None, map(self._asked.get, facts)))

    def _tightest(self, audience: Audience) -> tuple[tuple[Fact, ...], Fact | None]:
        """Of what restricts an audience what the fewest workloads meet at this moment, as the facts
        one of which they must have, none when nothing restricts it; and the next rarest fact that
        they must all have, if any."""
        needs = sorted(audience.needs, key=self._uses_of)
        tightest = needs[:1]
        for negated, facts in audience.others:
            if not negated and (not tightest or self._used(facts) < self._used(tightest)):
                tightest = list(facts)
        return tuple(tightest), next((fact for fact in needs if fact not in tightest), None)

    def _used(self, facts: Iterable[Fact]) -> int:
        return sum(map(self._uses_of, facts))

    def _uses_of(self, fact: Fact) -> int:
        """The number of workloads that have the label; 0 for facts that are no labels."""
        return self._uses[fact[1]] if len(fact) == 2 else 0


def _meets(facts: frozenset[Fact], others: Others) -> bool:
    return all(facts.isdisjoint(group) is negated for negated, group in others)


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
        needs.add(_CONTAINER_HOST)
    return frozenset(needs), tuple(others)


def has_any(workload: Workload, facts: Mapping[Fact, None]) -> bool:
    """Has the workload one of these facts?"""
    return (
        any(item in facts for item in workload.labels.items())
        or ("workload", workload.id, "") in facts
        or any(("bound", id, "") in facts for id in workload.bound)
        or (workload.container_host and _CONTAINER_HOST in facts)
    )
