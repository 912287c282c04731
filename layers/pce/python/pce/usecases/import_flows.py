"""Flows that no VEN reported: uploaded by people, for hosts without one."""

import uuid
from ipaddress import ip_address
from typing import Any

from pce.errors import Invalid, Problem
from pce.events.journal import ResourceChange
from pce.flows.batch import pack_parts
from pce.flows.drops import without_dropped
from pce.store.change import Change
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from ven_protocol.flows import FlowSummary, decode_batch, encode_batch
from ven_protocol.messages import Heartbeat, HostFacts

MAX_FLOWS = 1_000
"""Flows in one upload; what clients send."""

_WITH_PORTS = (6, 17)
_UNKNOWN = 3


def import_flows(caller: Caller, text: str, stores: Stores) -> dict[str, Any]:
    """Store flows given as lines of ``source,destination,port,protocol``, as seen now, and say what
    became of them: counts, and the lines that are none.

    Their decision is ``unknown``, and their labels are those that the addresses have now. Raises
    :class:`Invalid` for more than ``MAX_FLOWS`` lines, and when no line is a flow.
    """
    lines = [line for line in (raw.strip() for raw in text.splitlines()) if line]
    if not 0 < len(lines) <= MAX_FLOWS:
        message = (
            f"the body must hold 1 to {MAX_FLOWS} lines of source,destination,port,protocol, not"
            f" {len(lines)}"
        )
        raise Invalid(Problem("invalid_flow_upload", message))
    flows: list[FlowSummary] = []
    failed: list[str] = []
    for line in lines:
        try:
            flows.append(_flow(line, caller.now_s))
        except ValueError as error:
            failed.append(f"{line[:200]}: {error}")
    if flows:
        _store(caller, flows, stores)
    return {
        "num_flows_received": len(lines),
        "num_flows_failed": len(failed),
        "failed_flows": failed,
    }


def _flow(line: str, now: int) -> FlowSummary:
    """One line as a flow; raises ValueError with what is wrong."""
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 4:
        raise ValueError(f"has {len(parts)} values instead of 4")
    src, dst = ip_address(parts[0]), ip_address(parts[1])
    if src.version != dst.version:
        raise ValueError("mixes IPv4 and IPv6")
    port, proto = int(parts[2] or 0), int(parts[3])
    if not 0 <= proto <= 255:
        raise ValueError(f"protocol {proto} is not in 0..255")
    if not 0 <= port <= (65_535 if proto in _WITH_PORTS else 0):
        raise ValueError(f"port {port} is none of protocol {proto}")
    return FlowSummary(
        src_ip=src.packed,
        dst_ip=dst.packed,
        proto=proto,
        dst_port=port,
        dir="I",
        pd=_UNKNOWN,
        first=now,
        last=now,
    )


def _store(caller: Caller, flows: list[FlowSummary], stores: Stores) -> None:
    """As ``ingest_flows`` stores a VEN's batch, without what the org drops; the upload itself takes
    the place of the VEN."""
    upload, seq, end = uuid.uuid4(), 0, caller.now_s
    heartbeat = Heartbeat(host=HostFacts(hostname="upload", version="0"), uptime_seconds=0)
    batch = decode_batch(encode_batch(seq, end, end, heartbeat, flows))
    batch = without_dropped(batch, stores.flow_drops.of(caller.org_id))
    if len(batch):
        parts = pack_parts(batch, upload, stores.directory.load(caller.org_id))
        stores.flows.put(caller.org_id, upload, seq, end, parts)
        stores.arrivals.note(caller.org_id, upload, seq, end, len(parts), end)
    changed = ResourceChange("traffic_flows", {"count": len(flows)}, "create", {})
    event = caller.journal(stores, 201).event("agents.bulk_traffic_flows", changes=[changed])
    stores.objects.commit(Change(caller.org_id, events=(event,)))
