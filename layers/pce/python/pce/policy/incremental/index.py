"""All audiences and classes, and how one is found from the other.

Each audience is filed under the facts of its tightest restriction, one of which a workload must
have, and there under one more fact that it must have, if any. So a class is tried only against
audiences that are filed under its own facts, and against those that nothing restricts.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from pce.policy.estate import Workload
from pce.policy.incremental.audience import CONTAINER_HOST, Audience, Fact, HostClass, Others
from pce.policy.selectors import AddressSelector, Selector


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
            facts += [CONTAINER_HOST] * workload.container_host
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


def has_any(workload: Workload, facts: Mapping[Fact, None]) -> bool:
    """Has the workload one of these facts?"""
    return (
        any(item in facts for item in workload.labels.items())
        or ("workload", workload.id, "") in facts
        or any(("bound", id, "") in facts for id in workload.bound)
        or (workload.container_host and CONTAINER_HOST in facts)
    )
