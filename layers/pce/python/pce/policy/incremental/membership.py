"""The members of sets, and how many VENs a part reaches, brought up to date after a change."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain

from pce.policy.incremental.audience import Audience
from pce.policy.incremental.effect import SetChange
from pce.policy.incremental.index import Index
from pce.policy.incremental.lists import Said
from pce.policy.incremental.work import Work
from pce.policy.parts import digest_of_sum, member_hash, version_name
from pce.policy.selectors import AddressSelector


def members_of(audience: Audience) -> Iterable[str]:
    """The members of an audience's set, without repeats, in no order."""
    if audience.members is not None:
        return audience.members
    of_classes = [host_class.addresses for host_class in audience.classes]
    return of_classes[0] if len(of_classes) == 1 else set[str]().union(*of_classes)


def count_vens(work: Work) -> None:
    """Count the VENs of classes that changed into their audiences and these' peers."""
    more = Counter[Audience]()
    for host_class in work.resized:
        vens = host_class.vens()
        if vens != host_class.counted:
            for audience in host_class.audiences:
                more[audience] += vens - host_class.counted
            host_class.counted = vens
    for audience, vens in more.items():
        add_vens(audience, vens, work)


def add_vens(audience: Audience, vens: int, work: Work) -> None:
    """An audience has so many VENs more."""
    if vens:
        audience.vens += vens
        work.weighed.add(audience)
        for peer in audience.mentions:
            peer.width += vens
            work.weighed.add(peer)


def fill_sets(index: Index, changed: dict[AddressSelector, Said], work: Work) -> None:
    """Bring the members and digests of sets up to date.

    ``changed``: what lists say that are new or that changed.
    Cost: the members that may have come or gone, and all members of new sets.
    """
    hash_of = _Hashes().__getitem__

    def sum_of(members: Iterable[str]) -> int:
        return sum(map(hash_of, members))

    for audience, was_member in work.was_member.items():
        added: list[str] = []
        removed: list[str] = []
        for address, was in was_member.items():
            if index.has_member(audience, address) is not was:
                (removed if was else added).append(address)
        if added or removed:
            audience.total += sum_of(added) - sum_of(removed)
            audience.digest = digest_of_sum(audience.total)
            work.reset(audience, added, removed)
    again = set(work.born)
    for selector, said in changed.items():
        mentioned = index.audiences.get(selector.set_id)
        if mentioned is not None:
            _take_list(mentioned, said, work)
            again.add(mentioned)
    for audience in again:
        audience.total = sum_of(members_of(audience))
        audience.digest = digest_of_sum(audience.total)


def sum_sets(index: Index, lists: dict[AddressSelector, Said]) -> None:
    """What :func:`fill_sets` does when there was no set before: the members of a class are summed
    once, however many audiences select it.

    ``lists``: what all lists say. Cost: the addresses, and the classes of every audience.
    """
    sums = {
        host_class: sum(map(member_hash, host_class.addresses))
        for host_class in index.classes.values()
    }
    for audience in index.audiences.values():
        audience.total = sum(map(sums.__getitem__, audience.classes))
    for address, holders in index.shared():
        again = Counter(chain.from_iterable(holder.audiences for holder in holders))
        for audience, times in again.items():
            audience.total -= (times - 1) * member_hash(address)
    for selector, said in lists.items():
        listed = index.audiences.get(selector.set_id)
        if listed is not None:
            listed.members, listed.names = said.members, said.names
            listed.total = sum(map(member_hash, said.members))
    for audience in index.audiences.values():
        audience.digest = digest_of_sum(audience.total)


class _Hashes(dict[str, int]):
    """Each member's hash, once computed."""

    def __missing__(self, member: str) -> int:
        found = self[member] = member_hash(member)
        return found


def _take_list(audience: Audience, said: Said, work: Work) -> None:
    """Take over the members and names that a list says."""
    before, names = audience.members or [], audience.names
    audience.members, audience.names = said.members, said.names
    if audience in work.born:
        return
    added = sorted(set(said.members).difference(before))
    removed = sorted(set(before).difference(said.members))
    work.reset(audience, added, removed)
    if said.names != names:
        more, less = set(said.names).difference(names), set(names).difference(said.names)
        tightens = bool((less and audience.allows) or (more and audience.denies))
        for other in audience.mentioned_by:
            work.reline(other, tightens=tightens)


def needed_sets(work: Work) -> dict[str, SetChange]:
    """Set versions that some document mentions now and none did before."""
    sets: dict[str, SetChange] = {}
    for audience in work.weighed.union(work.resets):
        now = audience.digest if audience.width else None
        former = audience.needed
        if now == former:
            continue
        audience.needed = now
        if former is not None:
            work.retired.add(version_name(audience.set_id, former))
        if now is not None:
            added, removed = work.resets.get(audience, ([], [])) if former else ([], [])
            sets[audience.set_id] = SetChange(now, former, tuple(added), tuple(removed))
    return sets
