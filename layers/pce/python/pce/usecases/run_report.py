"""Make one report: count the hits of every active rule among the recorded flows."""

import gzip
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pce.errors import Conflict, PceError
from pce.flows.query import Query
from pce.identifiers import OrgId
from pce.objects.hrefs import ACTIVE, in_version
from pce.objects.policy_content import PolicyContent
from pce.objects.report import Hits, counted_by, rule_hits_csv, time_range
from pce.store.change import Change, Put
from pce.store.objects import Stored
from pce.timestamps import rfc3339
from pce.usecases.decide_drafts import decided_records, workloads_of
from pce.usecases.make_report import REPORTS, report_key
from pce.usecases.read_policy import read_policy
from pce.usecases.run_traffic_query import find_flows
from pce.usecases.stores import Stores

_MATCHED = ("rules", "deny_rules", "override_deny_rules")


def run_report(org_id: OrgId, report_id: str, stores: Stores, clock: Callable[[], float]) -> None:
    """Bring a report to its end. Safe to repeat: one that is done or gone is left alone.

    One that cannot be made becomes ``failed``, so that clients stop polling; what is unexpected is
    raised after that, and a repeat may still make it. Cost: as a traffic query over its time.
    """
    stored = stores.objects.get(org_id, REPORTS, report_id)
    if stored is None or stored.document["status"] == "done":
        return
    report = stored.document
    try:
        text = _rule_hits(org_id, report, stores, int(clock()))
    except PceError as error:
        _finish(org_id, stored, {**report, "status": "failed", "message": str(error)}, stores)
        return
    except Exception as error:
        message = f"our fault: {type(error).__name__}"
        _finish(org_id, stored, {**report, "status": "failed", "message": message}, stores)
        raise
    body = gzip.compress(text.encode(), compresslevel=3)
    stores.archive.put(report_key(org_id, report_id), body, "application/gzip")
    done = {"status": "done", "progress_percentage": 100, "generated_at": rfc3339(clock())}
    _finish(org_id, stored, {**report, **done}, stores)


def _rule_hits(org_id: OrgId, report: Mapping[str, Any], stores: Stores, now: int) -> str:
    start, end = time_range(report, now)
    _, records = find_flows(org_id, Query(start=start, end=end), stores, now)
    content = read_policy(org_id, ACTIVE, stores)
    hits: dict[str, Hits] = defaultdict(Hits)
    groups = {str(group["href"]): group for group in content.documents.get("label_groups", ())}
    [firewall] = content.documents.get("firewall_settings") or ({},)
    counts = counted_by(firewall.get("rule_hit_count_enabled_scopes") or (), groups)
    records = [record for record in records if counts(record)]
    for record in decided_records(records, content, workloads_of(org_id, records, stores)):
        for rule in (rule for name in _MATCHED for rule in record[name]):
            hits[rule["href"]].add(record)
    named = {r["href"] for r in report["report_parameters"].get("rule_sets") or ()}
    return rule_hits_csv(_rules(content, named), hits)


def _rules(
    content: PolicyContent, rule_sets: set[str]
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Kind, rule and rule set of all active rules; of these rule sets only, where any are named."""
    for document in content.documents.get("rule_sets", ()):
        rule_set = in_version(document, ACTIVE)
        if rule_sets and rule_set["href"] not in rule_sets:
            continue
        for rule in rule_set.get("rules") or ():
            yield "allow", rule, rule_set
        for rule in rule_set.get("deny_rules") or ():
            yield ("override_deny" if rule.get("override") else "deny"), rule, rule_set


def _finish(org_id: OrgId, stored: Stored, report: Mapping[str, Any], stores: Stores) -> None:
    put = Put(REPORTS, stored.id, report, stored.rev, ttl=report["kept_until"])
    try:
        stores.objects.commit(Change(org_id, puts=(put,)))
    except Conflict:
        return  # deleted meanwhile, or another worker was faster
