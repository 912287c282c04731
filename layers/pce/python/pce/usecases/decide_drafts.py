"""Decide what the draft policy would do with the flows that a traffic query found."""

import gzip
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from pce.errors import Invalid, NotFound, Problem
from pce.flows.records import csv_text
from pce.identifiers import OrgId, tail
from pce.objects.draft_decision import draft_decision
from pce.objects.hrefs import DRAFT
from pce.objects.policy_content import PolicyContent
from pce.objects.traffic_query import drafts_decided
from pce.policy.addresses import interval
from pce.policy.estate import Estate, Workload
from pce.policy.questions.ends import End
from pce.policy.questions.explain import explain
from pce.policy.questions.rule_index import RuleIndex
from pce.policy.traffic import Traffic
from pce.usecases.query_traffic import ResultForm, result_key
from pce.usecases.read_containers import workloads_by_id
from pce.usecases.read_policy import read_policy
from pce.usecases.stores import Stores

MAX_CONNECTIONS = 50_000
"""Different ends and services among a query's records: at half a millisecond each they take half of
the worker's minute."""

Record = dict[str, Any]


def decide_drafts(
    org_id: OrgId,
    query_id: str,
    document: Mapping[str, Any],
    stores: Stores,
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Write the draft decision into every record of a completed query; returns the query then.

    The policy is the draft as it is now. Ends are the workloads that the flow was recorded with,
    under their labels and modes of now. Safe to repeat. Raises :class:`Invalid` for more than
    ``MAX_CONNECTIONS``. Cost: the result; all drafts; a batch read per 100 workloads.
    """
    body = stores.archive.get(result_key(org_id, query_id, "json"))
    if body is None:
        raise NotFound(Problem("traffic_result_not_found", "the query's result has expired"))
    records: list[Record] = msgspec.json.decode(gzip.decompress(body))
    content = read_policy(org_id, DRAFT, stores)
    decided = list(decided_records(records, content, workloads_of(org_id, records, stores)))
    forms: tuple[tuple[ResultForm, bytes], ...] = (
        ("json", msgspec.json.encode(decided)),
        ("draft.csv", csv_text(decided, draft=True).encode()),
    )
    for form, text in forms:
        key = result_key(org_id, query_id, form)
        stores.archive.put(key, gzip.compress(text, compresslevel=3), "application/gzip")
    return drafts_decided(document, int(clock()))


def workloads_of(
    org_id: OrgId, records: Iterable[Record], stores: Stores
) -> list[Mapping[str, Any]]:
    """The workloads that flow records name, as they are now. A batch read per 100."""
    hrefs = {
        end["workload"]["href"]
        for r in records
        for end in (r["src"], r["dst"])
        if "workload" in end
    }
    return list(workloads_by_id(org_id, map(tail, hrefs), stores).values())


def decided_records(
    records: Iterable[Record], content: PolicyContent, workloads: Iterable[Mapping[str, Any]]
) -> Iterable[Record]:
    """The records with what a policy version decides about them, and by which rules. Raises
    :class:`Invalid` for more than ``MAX_CONNECTIONS``."""
    estate = content.estate(workloads)
    index = RuleIndex(estate)
    ends = _Ends(index, estate)
    known: dict[tuple[Any, ...], Record] = {}
    for record in records:
        service = record["service"]
        traffic = Traffic(
            proto=service["proto"],
            port=service.get("port"),
            icmp_type=record.get("icmp_type"),
            icmp_code=record.get("icmp_code"),
        )
        source, destination = _named(record["src"]), _named(record["dst"])
        key = (source, destination, traffic)
        if key not in known:
            if len(known) == MAX_CONNECTIONS:
                message = (
                    f"the result has more than {MAX_CONNECTIONS} different connections; ask for"
                    " fewer, by time, ends or services"
                )
                raise Invalid(Problem("too_many_connections", message))
            explanation = explain(index, ends.of(*source), ends.of(*destination), traffic)
            known[key] = draft_decision(explanation, content.href)
        yield record | known[key]


def _named(end: Mapping[str, Any]) -> tuple[str, str | None]:
    workload = end.get("workload")
    return end["ip"], None if workload is None else tail(workload["href"])


class _Ends:
    """The ends of flows; each is made once."""

    def __init__(self, index: RuleIndex, estate: Estate) -> None:
        self._by_id = {workload.id: workload for workload in estate.workloads}
        self._by_address: dict[str, list[Workload]] = {}
        self._made: dict[tuple[str, str | None], End] = {}
        for workload in estate.workloads:
            for address in index.kinds.addresses_of(workload, lambda what: None):
                self._by_address.setdefault(address, []).append(workload)

    def of(self, address: str, workload_id: str | None) -> End:
        """The end at an address, recorded with a workload or none."""
        asked = address, workload_id
        if asked not in self._made:
            host = self._by_id.get(workload_id) if workload_id else None
            known_as = tuple(self._by_address.get(address, ()))
            self._made[asked] = End(host, known_as, ((interval(address),),))
        return self._made[asked]
