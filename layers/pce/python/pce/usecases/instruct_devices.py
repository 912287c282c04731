"""Enforcement instructions of network devices: made when somebody asks, kept for a month, and
acknowledged when somebody has put them on the device."""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pce.errors import Invalid, NotFound, Problem
from pce.events.journal import ResourceChange
from pce.identifiers import OrgId, tail
from pce.objects.enforcement_instructions import Instructions
from pce.objects.hrefs import ACTIVE, parse_href
from pce.objects.network_device import APPLIED_AT, BYTES, GENERATED_AT, NETWORK_DEVICES
from pce.objects.network_endpoint import NETWORK_ENDPOINTS
from pce.objects.workload import WORKLOADS
from pce.policy.questions.one_document import Documents
from pce.policy.questions.rule_index import RuleIndex
from pce.store.change import Put
from pce.store.objects import Stored
from pce.usecases.affected_workloads import MAX_READ
from pce.usecases.caller import Caller
from pce.usecases.export_collection import MAX_FILE_IN_ANSWER, Datafile
from pce.usecases.find_ends import own_addresses
from pce.usecases.read_containers import all_containers
from pce.usecases.read_policy import read_policy
from pce.usecases.stores import Stores
from pce.usecases.write_object import Edit, commit_edits, find, until_settled

MAX_DEVICES = 50
"""In one call: they are written in one transaction, and made while the client waits."""

Document = Mapping[str, Any]


def request_instructions(
    caller: Caller, ids: Sequence[str], stores: Stores, event_type: str
) -> None:
    """Make the instructions of these devices by the active policy, anew where there were some.

    Raises :class:`NotFound`, and :class:`Invalid` for an org whose workloads are too many to be
    read while a client waits. Cost: the org's policy and all its workloads (a second for 25,000),
    for each workload behind a port the rules that it holds, and one object in the bucket a device.
    """
    _check_number(ids)
    devices = [find(caller, NETWORK_DEVICES, id, stores) for id in ids]
    made = _made(caller, [device.document for device in devices], stores)
    for id, body in made.items():
        stores.archive.put(_key(caller.org_id, id), body)
    said = {id: {GENERATED_AT: caller.at, BYTES: len(body)} for id, body in made.items()}
    until_settled(lambda: _mark(caller, said, event_type, stores))


def acknowledge_instructions(
    caller: Caller, ids: Sequence[str], stores: Stores, event_type: str
) -> None:
    """Note that the instructions of these devices were put on them.

    Raises :class:`NotFound`, and :class:`Invalid` for a device that has no instructions.
    """
    _check_number(ids)

    def mark() -> None:
        for id in ids:
            device = find(caller, NETWORK_DEVICES, id, stores).document
            if not device.get(GENERATED_AT):
                message = f"{device['href']} has no instructions yet; request them first"
                raise Invalid(Problem("no_enforcement_instructions", message))
        _mark(caller, {id: {APPLIED_AT: caller.at} for id in ids}, event_type, stores)

    until_settled(mark)


def device_ids(caller: Caller, body: Any) -> list[str]:
    """Ids of the devices in ``{"network_devices": [{"href": ...}, ...]}``; raises
    :class:`Invalid` with everything that is wrong."""
    listed = body.get("network_devices") if isinstance(body, Mapping) else None
    if not isinstance(listed, list) or not listed:
        message = "network_devices must be a list of objects with the href of a network device each"
        raise Invalid(Problem("invalid_attribute", message, "network_devices"))
    ids, problems = [], []
    for at, entry in enumerate(listed):
        href = entry.get("href") if isinstance(entry, Mapping) else None
        parsed = parse_href(href) if isinstance(href, str) else None
        if parsed and (parsed.org_id, parsed.collection) == (caller.org_id, NETWORK_DEVICES.name):
            ids.append(parsed.id)
        else:
            where = f"network_devices[{at}]"
            message = f"{where}: {entry!r} is not the href of a network device of this organization"
            problems.append(Problem("invalid_attribute", message, where))
    if problems:
        raise Invalid(problems)
    return list(dict.fromkeys(ids))


def read_instructions(caller: Caller, id: str, stores: Stores) -> Datafile:
    """The instructions that were made last. Raises :class:`NotFound`."""
    device = find(caller, NETWORK_DEVICES, id, stores).document
    key = _key(caller.org_id, id)
    if device.get(BYTES, 0) > MAX_FILE_IN_ANSWER:
        return Datafile(url=stores.archive.presigned_get(key))
    body = stores.archive.get(key) if device.get(GENERATED_AT) else None
    if body is None:
        message = f"{device['href']} has no instructions, or they have expired; request them"
        raise NotFound(Problem("enforcement_instructions_not_found", message))
    return Datafile(body)


def _check_number(ids: Sequence[str]) -> None:
    if len(ids) > MAX_DEVICES:
        message = f"{len(ids)} network devices; at most {MAX_DEVICES} in one call"
        raise Invalid(Problem("too_many_network_devices", message, "network_devices"))


def _key(org_id: OrgId, id: str) -> str:
    return f"enforcement_instructions/{org_id}/{id}.json.gz"


@dataclass(frozen=True)
class _Behind:
    """A port, and the workloads behind it that exist."""

    endpoint: Document
    workloads: list[str]
    """Ids."""


def _made(caller: Caller, devices: Sequence[Document], stores: Stores) -> dict[str, bytes]:
    """By id of the device: its instructions, compressed."""
    if stores.directory.count(caller.org_id) > MAX_READ:
        message = f"the organization has more than {MAX_READ} workloads, too many to read now"
        raise Invalid(Problem("enforcement_instructions_not_available", message))
    content = read_policy(caller.org_id, ACTIVE, stores)
    stored = stores.objects.all_of(caller.org_id, WORKLOADS.name)
    documents = [s.document for s in stored if not s.document.get("deleted")]
    documents += [dict(each.document) for each in all_containers(caller.org_id, stores)]
    by_id = {tail(document["href"]): document for document in documents}
    estate = content.estate(documents)
    facts = {workload.id: workload for workload in estate.workloads}
    policy = Documents(RuleIndex(estate))
    ports: dict[str, list[_Behind]] = {}
    for endpoint in stores.objects.all_of(caller.org_id, NETWORK_ENDPOINTS.name):
        named = [tail(workload["href"]) for workload in endpoint.document["workloads"]]
        behind = _Behind(endpoint.document, [id for id in named if id in facts])
        ports.setdefault(endpoint.document["network_device"]["href"], []).append(behind)
    made: dict[str, bytes] = {}
    for device in devices:
        instructions = Instructions(device, content.number or 0, caller.at)
        for port in sorted(ports.get(device["href"], ()), key=lambda p: str(p.endpoint["name"])):
            instructions.add(
                port.endpoint,
                [(by_id[i], own_addresses(by_id[i]), policy.of(facts[i])) for i in port.workloads],
            )
        body = msgspec.json.encode(instructions.whole())
        made[tail(device["href"])] = gzip.compress(body, mtime=0)
    return made


def _mark(caller: Caller, said: Mapping[str, Document], event_type: str, stores: Stores) -> None:
    """Write these attributes of devices, by id, as one change."""
    edits = []
    for id, attributes in said.items():
        device = find(caller, NETWORK_DEVICES, id, stores)
        edits.append(_edit(device, {**device.document, **attributes}, attributes))
    commit_edits(caller, edits, event_type, 200, stores)


def _edit(device: Stored, after: dict[str, Any], attributes: Document) -> Edit:
    before = device.document
    return Edit(
        str(after["href"]),
        ResourceChange(
            NETWORK_DEVICES.kind,
            NETWORK_DEVICES.in_event(after),
            "update",
            {
                name: {"before": before.get(name), "after": value}
                for name, value in attributes.items()
                if name != BYTES
            },
        ),
        NETWORK_DEVICES,
        (before, after),
        puts=(Put(NETWORK_DEVICES.stored_in, device.id, after, device.rev),),
    )
