"""Queries over columns answer what a plain loop over summaries answers."""

import ipaddress
import random
import uuid

from hypothesis import given
from hypothesis import strategies as st

from pce.flows.answer import run_query
from pce.flows.batch import pack
from pce.flows.directory import canonical
from pce.flows.query import validate_query
from pce.flows.records import STATES, record
from pce.flows.selection import BOUNDARY_DECISIONS, DECISIONS, IpListContent
from pce.identifiers import OrgId
from pce.timestamps import rfc3339
from tests.property.flow_batches import (
    END,
    HEARTBEAT,
    LABELS,
    NAMES,
    REPORTERS,
    START,
    V4,
    V6,
    random_windows,
)
from ven_protocol.flows import decode_batch, encode_batch

ORG = OrgId(1)
GROUP = "/orgs/1/sec_policy/active/label_groups/g"
GROUP_LABELS = frozenset({"1", "4"})
IP_LIST = "/orgs/1/sec_policy/active/ip_lists/1"
IP_LIST_CONTENT = IpListContent(
    (
        (4, int.from_bytes(V4[0], "big"), int.from_bytes(V4[2], "big")),
        (4, int.from_bytes(V4[4], "big"), int.from_bytes(V4[4], "big")),
        (6, int.from_bytes(V6[0], "big"), int.from_bytes(V6[1], "big")),
    ),
    ("*.example.com", "plain"),
)


class Answers:
    """Resolves what the world has."""

    def label_ids(self, href):
        if href == GROUP:
            return GROUP_LABELS
        return frozenset({href.removeprefix("/orgs/1/labels/")})

    def workload_id(self, href):
        return uuid.UUID(href.removeprefix("/orgs/1/workloads/"))

    def ip_list(self, href):
        return IP_LIST_CONTENT


def text(address):
    return str(ipaddress.ip_address(address))


def random_actor(random, side, part):
    """One actor in the API's form, of those that its place allows."""
    forms = [
        {"label": {"href": f"/orgs/1/labels/{random.choice(LABELS).id}"}},
        {"label_group": {"href": GROUP}},
        {"ip_list": {"href": IP_LIST}},
        {"ip_address": text(random.choice([*V4, *V6]))},
        {"ip_address": {"value": "10.0.0.4/31"}},
        {"actors": "ams"},
        {"workload": {"href": f"/orgs/1/workloads/{uuid.UUID(int=random.randrange(4))}"}},
    ]
    if side == "destinations":
        forms.append({"fqdn": random.choice([*NAMES, "*.example.com"])})
        if part == "exclude":
            forms.append({"transmission": random.choice(["unicast", "multicast", "broadcast"])})
    return random.choice(forms)


def random_side(random, side):
    groups = random.choice([0, 0, 1, 2, 3])
    return {
        "include": [
            [random_actor(random, side, "include") for _ in range(random.choice([0, 1, 1, 1, 2]))]
            for _ in range(groups)
        ],
        "exclude": [random_actor(random, side, "exclude")] if random.random() < 0.3 else [],
    }


def random_service(random):
    service = {
        "port": random.choice([0, 22, 443]),
        "to_port": random.choice([443, 8080]),
        "proto": random.choice([-1, 1, 6, 17]),
        "process_name": random.choice(["nginx", "SSHD", "/usr/sbin/nginx"]),
        "windows_service_name": "svchost.exe",
        "icmp_type": random.choice([0, 8]),
        "icmp_code": 3,
    }
    said = {name: service[name] for name in random.sample(list(service), random.choice([1, 1, 2]))}
    if "to_port" in said:
        said.setdefault("port", 22)
    return said


def random_query(random):
    """A request document that says one or two things, so that something is found."""
    start, end = sorted(random.randint(START - 1500, END + 100) for _ in range(2))
    if random.random() < 0.5:
        # Where boundaries lie.
        start, end = random.choice([START, START + 600]), END
    whole = {
        "start_date": rfc3339(start),
        "end_date": rfc3339(end),
        "sources": random_side(random, "sources"),
        "destinations": random_side(random, "destinations"),
        "services": {
            "include": [random_service(random) for _ in range(random.choice([0, 1, 2]))],
            "exclude": [random_service(random) for _ in range(random.choice([0, 1]))],
        },
        "policy_decisions": random.sample(DECISIONS, random.randint(0, 3)),
        "boundary_decisions": random.sample(BOUNDARY_DECISIONS[1:], random.randint(0, 2)),
    }
    said = {
        name: value
        for name, value in whole.items()
        if random.random() < (0.5 if name in ("sources", "destinations") else 0.2)
    }
    said["exclude_workloads_from_ip_list_query"] = random.choice([True, False, None])
    said["sources_destinations_query_op"] = random.choice(["and", "or"])
    return said


def stored(window):
    batch = decode_batch(encode_batch(1, window.start, window.start + 600, HEARTBEAT, window.flows))
    return pack(batch, window.reporter, window.directory)


# --- The plain loop -------------------------------------------------------------------------------


def is_actor(actor, flow, side, workload, document):
    """Does this actor mean that end of this flow?"""
    address = ipaddress.ip_address(canonical(flow.src_ip if side == "sources" else flow.dst_ip))
    labels = {label.id for label in workload.labels} if workload else set()
    name = flow.fqdn.lower() if side == "destinations" and flow.fqdn else ""
    [(kind, value)] = actor.items()
    if kind == "label":
        return value["href"].split("/")[-1] in labels
    if kind == "label_group":
        return bool(labels & GROUP_LABELS)
    if kind == "workload":
        return workload is not None and str(workload.id) == value["href"].split("/")[-1]
    if kind == "ip_address":
        value = value["value"] if isinstance(value, dict) else value
        return address in ipaddress.ip_network(value)
    if kind == "fqdn":
        return name == value.lower() or (value[0] == "*" and name.endswith(value[1:].lower()))
    if kind == "transmission":
        return value[0].upper() == flow.transmission
    if kind == "actors":
        return workload is not None
    if workload is not None and document["exclude_workloads_from_ip_list_query"] is not False:
        return False
    return (
        any(
            version == address.version and first <= int(address) <= last
            for version, first, last in IP_LIST_CONTENT.intervals
        )
        or name == "plain"
        or name.endswith(".example.com")
    )


def serves(service, flow):
    def program(wanted, found):
        if not wanted:
            return True
        found = (found or "").lower()
        return wanted.lower() in (found, found.split("/")[-1].split("\\")[-1])

    ports = range(service.get("port", 0), service.get("to_port", service.get("port", 0)) + 1)
    return (
        service.get("proto", -1) in (-1, flow.proto)
        and ("port" not in service or (flow.proto in (6, 17) and flow.dst_port in ports))
        and service.get("icmp_type", flow.icmp_type) == flow.icmp_type
        and service.get("icmp_code", flow.icmp_code) == flow.icmp_code
        and program(service.get("process_name"), flow.process)
        and program(service.get("windows_service_name"), flow.service)
    )


def is_wanted(flow, start, directory, document):
    """The whole filter, for one summary."""

    def said(side, part):
        return document.get(side, {}).get(part, [])

    def end(side):
        return directory.get(canonical(flow.src_ip if side == "sources" else flow.dst_ip))

    def fits(side, actor):
        return is_actor(actor, flow, side, end(side), document)

    included = {}
    for side in ("sources", "destinations"):
        if any(fits(side, actor) for actor in said(side, "exclude")):
            return False
        groups = said(side, "include")
        if groups and [] not in groups:
            included[side] = any(all(fits(side, actor) for actor in group) for group in groups)
    either = document.get("sources_destinations_query_op") == "or"
    if included and not (any if either else all)(included.values()):
        return False

    include = document.get("services", {}).get("include", [])
    if include and not any(serves(service, flow) for service in include):
        return False
    if any(serves(service, flow) for service in document.get("services", {}).get("exclude", [])):
        return False
    if document.get("policy_decisions") and DECISIONS[flow.pd] not in document["policy_decisions"]:
        return False
    boundary = BOUNDARY_DECISIONS[flow.pd_qualifier or 0] if flow.pd in (1, 2) else None
    if document.get("boundary_decisions") and boundary not in document["boundary_decisions"]:
        return False
    seen_from = min(max(flow.first, start), flow.last)
    return rfc3339(seen_from) <= document.get("end_date", "9") and document.get(
        "start_date", ""
    ) <= rfc3339(flow.last)


def plain_answer(world, document):
    """Merged flows as {what makes them one: what is summed}."""
    merged = {}
    for window in world:
        directory = window.directory
        for flow in window.flows:
            if not is_wanted(flow, window.start, directory, document):
                continue
            src, dst = canonical(flow.src_ip), canonical(flow.dst_ip)
            key = (
                (src, directory.get(src)),
                (dst, directory.get(dst)),
                (flow.proto, flow.dst_port, flow.icmp_type, flow.icmp_code),
                (flow.process, flow.user, flow.service, flow.fqdn),
                (flow.dir, flow.pd, flow.pd_qualifier, flow.transmission),
            )
            merged.setdefault(key, []).append((window.reporter, window.start, flow))
    return {key: summed(rows) for key, rows in merged.items()}


def summed(rows):
    flows = [flow for *_, flow in rows]
    counted = {name: [getattr(f, name) for f in flows] for name in ("dbi", "dbo", "ddms")}
    deltas = {
        name: sum(v for v in values if v is not None)
        for name, values in counted.items()
        if any(v is not None for v in values)
    }
    totals = {}
    for delta, total in (("dbi", "tbi"), ("dbo", "tbo"), ("ddms", "tdms")):
        if delta not in deltas:
            continue
        totals[total] = deltas[delta]
        for reporter in REPORTERS:
            measured = [
                (start, flow)
                for who, start, flow in rows
                if who == reporter and (flow.dbi is not None or flow.ddms is not None)
            ]
            earliest = min((start for start, _ in measured), default=None)
            totals[total] += sum(
                getattr(flow, total) - getattr(flow, delta)
                for start, flow in measured
                if start == earliest and getattr(flow, delta) is not None
            )
    last, state = max((flow.last, flow.state) for flow in flows)
    return {
        "count": sum(flow.count for flow in flows),
        "first": min(flow.first for flow in flows),
        "last": last,
        "state": state,
        **deltas,
        **totals,
    }


seeds = st.integers(0, 2**32).map(random.Random)


@given(seeds)
def test_columns_and_a_plain_loop_agree(seed):
    """Same merged flows, same sums, same matches, for any query over any batches."""
    world = random_windows(seed)
    bodies = list(map(stored, world))
    for _ in range(10):
        document = random_query(seed)
        answer = run_query(validate_query(document), bodies, Answers())
        assert merged_flows(answer) == plain_answer(world, document)
        assert answer.matches == len(answer.flows)
        assert answer.complete


def merged_flows(answer):
    """The answer in the form of the plain loop's."""
    found = {}
    for flow in answer.flows:
        profile = flow.profile
        key = (
            (flow.src.address, flow.src.workload),
            (flow.dst.address, flow.dst.workload),
            (profile.proto, profile.port, profile.icmp_type, profile.icmp_code),
            (profile.process, profile.user, profile.service, flow.fqdn),
            (profile.dir, profile.pd, profile.pd_qualifier, profile.transmission),
        )
        assert key not in found
        measures = dict(zip(("dbi", "dbo", "ddms"), flow.deltas, strict=True))
        measures |= zip(("tbi", "tbo", "tdms"), flow.totals, strict=True)
        found[key] = {
            "count": flow.count,
            "first": flow.first,
            "last": flow.last,
            "state": flow.state,
            **{name: value for name, value in measures.items() if value is not None},
        }
    return found


@given(seeds, st.integers(0, 50))
def test_the_order_of_batches_does_not_matter(seed, most):
    """The same records in the same order, however the store returns the batches."""
    bodies = list(map(stored, random_windows(seed)))
    shuffled = seed.sample(bodies, len(bodies))
    query = validate_query({"max_results": most})
    one, other = (run_query(query, order, Answers()) for order in (bodies, shuffled))
    assert one == other
    assert len(one.flows) == min(most, one.matches)
    everything = run_query(validate_query({}), bodies, Answers()).flows
    assert one.flows == everything[:most]
    assert [flow.last for flow in everything] == sorted(
        (flow.last for flow in everything), reverse=True
    )


def without_nulls(value):
    if isinstance(value, dict):
        return all(inner is not None and without_nulls(inner) for inner in value.values())
    return not isinstance(value, list) or all(map(without_nulls, value))


@given(seeds)
def test_records_say_absent_by_absence(seed):
    """No record holds a null, and each has what clients require."""
    bodies = map(stored, random_windows(seed))
    for flow in run_query(validate_query({}), bodies, Answers()).flows:
        document = record(flow, ORG)
        assert without_nulls(document)
        assert document["state"] in STATES.values()
        assert {"src", "dst", "service", "num_connections", "policy_decision"} <= set(document)
        assert document["timestamp_range"].keys() == {"first_detected", "last_detected"}
        for side in ("src", "dst"):
            assert isinstance(document[side].get("workload", {"labels": []})["labels"], list)
