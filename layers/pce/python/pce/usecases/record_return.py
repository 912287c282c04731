"""Write that a VEN is back, and what changed on its host; what a heartbeat does rarely."""

from pce.errors import NotFound
from pce.presence.record import Presence, flags_text
from pce.store.change import PresenceChange
from pce.usecases.stores import Stores
from pce.usecases.ven_records import VenRecords
from ven_protocol.messages import HostFacts


def record_return_and_facts(
    before: Presence, stores: Stores, now: int, host: HostFacts | None = None
) -> None:
    """Write that a VEN is back and what changed on its host, in one transaction.

    Runs again with the next sign of life if it fails, since the flags stay until it succeeded.
    A VEN that was offline enters its peers' policy again.
    """
    try:
        records = VenRecords.read(stores, before.org_id, before.ven_id)
    except NotFound:
        return  # unpaired meanwhile: nothing is left that could be written
    workload = {"online": True, **(_workload_facts(host) if host else {})}
    puts, changes = records.changed(workload, _ven_facts(host) if host else {})
    presence = None
    if before.flags:
        presence = PresenceChange(
            before.ven_id, expected_flags=flags_text(before.flags), flags="", status="a"
        )
    if not puts and presence is None:
        return
    event_type = "workload.online" if before.flags else "agent.update"
    event = records.journal(stores, now).event(event_type, changes=changes)
    came_back = not records.workload.document.get("online")
    stores.objects.commit(
        records.change(puts, [event], presence, policy_reason="online" if came_back else "")
    )


def _workload_facts(host: HostFacts) -> dict[str, str | None]:
    return {
        "hostname": host.hostname,
        "os_id": host.os_id,
        "os_detail": host.os_detail,
        "os_type": host.os_platform,
        "public_ip": host.public_ip,
    }


def _ven_facts(host: HostFacts) -> dict[str, str | None]:
    return {
        "hostname": host.hostname,
        "os_id": host.os_id,
        "os_detail": host.os_detail,
        "os_platform": host.os_platform,
        "version": host.version,
    }
