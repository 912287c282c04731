"""One end of a connection, as rules see it: whose firewall stands there, who is known to have its
address, and which addresses it stands for."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from pce.policy.addresses import Interval, interval, peer_address
from pce.policy.estate import Estate, Workload
from pce.policy.kinds import Kinds


@dataclass(frozen=True)
class End:
    """A source or a destination."""

    host: Workload | None
    """Whose firewall stands there: a workload, managed or not; None for a stranger."""
    known_as: tuple[Workload, ...]
    """Workloads whose address sets hold this end."""
    spans: tuple[tuple[Interval, ...], ...]
    """It lies in a range of addresses when all of one of these do. One address is one of one; a
    workload with two has two of one; an IP list is one of many."""
    by_any_name: bool = False
    """Count as known by every domain name: which addresses a name has, only VENs find out."""


def end_at(estate: Estate, address: str, workload_id: str | None) -> End:
    """The end at one address. The workload behind it, if any, is one of the estate's; whoever else
    there has the address is known by it too. Raises ValueError for text that is no address."""
    canonical = str(ip_address(address))
    kinds = Kinds.of_estate(estate, _ignore)
    return End(
        host=next((w for w in estate.workloads if w.id == workload_id), None),
        known_as=tuple(
            workload
            for workload in estate.workloads
            if canonical in kinds.addresses_of(workload, _ignore)
        ),
        spans=((interval(canonical),),),
    )


def end_of_workload(workload: Workload) -> End:
    """A workload under any of its addresses, whether or not it is in policy now."""
    return End(workload, (workload,), tuple((interval(a),) for a in _addresses(workload)))


def end_of_ip_list(spans: Iterable[Interval]) -> End:
    """All addresses of an IP list together."""
    spans = tuple(spans)
    return End(None, (), (spans,) if spans else ())


def _addresses(workload: Workload) -> Iterable[str]:
    for text in workload.addresses:
        try:
            address = peer_address(text)
        except ValueError:
            continue
        if address is not None:
            yield address


def _ignore(*what: str) -> None:
    """Problems are the compile's matter."""
