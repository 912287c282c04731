"""Which flows an org does not want to keep: its traffic collector settings, applied to a batch
before it is stored. Pure.

A setting names a transmission and a target; what goes to the target is dropped, whoever reports it.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from msgspec import structs

from pce.flows.directory import canonical
from ven_protocol.flows import FlowBatch

_LETTERS = {"unicast": "U", "broadcast": "B", "multicast": "M"}
ANY_PORT = -1
ANY_ADDRESS = "0.0.0.0/0"
"""The default, which clients send back as they read it; so it means IPv6 addresses too."""


@dataclass(frozen=True, slots=True)
class Drop:
    """What one setting drops."""

    transmission: str
    """``U``, ``B`` or ``M``."""
    proto: int
    dst_port: int = ANY_PORT
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    """None: every destination."""

    def means(self, address: bytes) -> bool:
        """Whether a packed address is a destination of the kind."""
        return self.network is None or ipaddress.ip_address(canonical(address)) in self.network


def drops_of(settings: Iterable[Mapping[str, Any]]) -> tuple[Drop, ...]:
    """The drops among traffic collector settings as they are stored."""
    return tuple(
        _drop(setting)
        for setting in settings
        if setting["action"] == "drop"
        and not (setting.get("data_source") or setting.get("network"))
    )


def _drop(setting: Mapping[str, Any]) -> Drop:
    target = setting["target"]
    to = target.get("dst_ip") or ANY_ADDRESS
    return Drop(
        _LETTERS[setting["transmission"]],
        target["proto"],
        target.get("dst_port", ANY_PORT),
        None if to == ANY_ADDRESS else ipaddress.ip_network(to),
    )


def without_dropped(batch: FlowBatch, drops: Sequence[Drop]) -> FlowBatch:
    """The batch without the summaries that are to be dropped; the batch itself where none is.

    Cost: nothing for transmissions that the batch does not hold; one look at each summary and
    drop otherwise.
    """
    flows = batch.flows
    sent = flows.transmission or "U" * len(batch)
    keep = [True] * len(batch)
    for drop in drops:
        if drop.transmission not in sent:
            continue
        to = {index for index in set(flows.dst) if drop.means(flows.addresses[index])}
        ports = flows.port or [0] * len(batch)
        for row, (kind, proto, port, dst) in enumerate(
            zip(sent, flows.proto, ports, flows.dst, strict=True)
        ):
            if (
                kind == drop.transmission
                and proto == drop.proto
                and drop.dst_port in (ANY_PORT, port)
                and dst in to
            ):
                keep[row] = False
    return batch if all(keep) else _only(batch, keep)


def _only(batch: FlowBatch, keep: Sequence[bool]) -> FlowBatch:
    """The batch with these rows; its dictionaries stay as they are."""
    columns: dict[str, Any] = {}
    for name in batch.flows.__struct_fields__:
        column = getattr(batch.flows, name)
        if name not in ("addresses", "strings"):
            rest = compress(column, keep)
            columns[name] = "".join(rest) if isinstance(column, str) else list(rest)
    return structs.replace(batch, flows=structs.replace(batch.flows, **columns))
