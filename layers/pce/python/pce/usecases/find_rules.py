"""Find rules: those that cover a connection between two ends, and those that a search asks for."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from pce.errors import Invalid, Problem
from pce.identifiers import tail
from pce.objects.connection import AskedEnd, asked_traffic, only_end
from pce.objects.hrefs import parse_href
from pce.objects.policy_content import PolicyContent
from pce.objects.rule_questions import coverage_edges, rule_search
from pce.policy.estate import Actor, Estate
from pce.policy.questions.ends import End, end_at, end_of_ip_list, end_of_workload
from pce.policy.questions.rule_index import RuleIndex
from pce.policy.questions.rule_search import search
from pce.policy.selectors import AddressSelector
from pce.usecases.caller import Caller
from pce.usecases.find_ends import FoundEnd, find_ends
from pce.usecases.read_containers import HOSTS, workloads_by_id
from pce.usecases.read_policy import read_policy
from pce.usecases.stores import Stores
from ven_protocol.policy import RuleAction

Document = dict[str, Any]


def allowing_rules(
    caller: Caller, version: str, query: Mapping[str, str], stores: Stores
) -> list[Document]:
    """The allow rules that join a source (``src_workload`` or ``src_external_ip``) with a
    destination (``dst_...``) for ``protocol`` and ``port``; whatever deny rules say.

    A workload counts under all of its addresses. Raises :class:`Invalid` naming a parameter,
    :class:`NotFound`. Cost: as ``explain_policy`` for one version.
    """
    traffic = asked_traffic(query, "protocol")
    asked = [only_end(query, "src"), only_end(query, "dst")]
    found = find_ends(caller, asked[0], asked[1], stores)
    content = read_policy(caller.org_id, version, stores)
    estate = content.estate(found.workloads)
    source, destination = (
        _end(estate, one, end)
        for one, end in zip(asked, (found.source, found.destination), strict=True)
    )
    matches = RuleIndex(estate).matches(source, destination, traffic)
    rules = dict.fromkeys(match.rule.id for match in matches if match.rule.action == "allow")
    return [content.rule(id) for id in rules]


def _end(estate: Estate, asked: AskedEnd, found: FoundEnd) -> End:
    id = tail(found.workload["href"]) if found.workload else None
    if asked.workload_href is None:
        return end_at(estate, found.address, id)
    return next(end_of_workload(workload) for workload in estate.workloads if workload.id == id)


def rule_coverage(
    caller: Caller, version: str, body: Any, stores: Stores, *, include_deny_rules: bool
) -> Document:
    """Which rules cover each service of each edge.

    ``edges``: for each edge and service the keys of allow rules, ``rules``: what they stand for;
    with ``include_deny_rules`` also ``deny_edges`` and ``deny_rules``. An IP list is covered where
    all of its addresses are. Raises :class:`Invalid` naming what is wrong or does not exist. Cost:
    :func:`read_policy`, a batch read per 100 workloads, some milliseconds an edge and service.
    """
    edges, hrefs = coverage_edges(body)
    content = read_policy(caller.org_id, version, stores)
    actors = {actor for edge in edges for actor in (edge.source, edge.destination)}
    index, ends = _ends(caller, content, actors, hrefs, stores)
    tiers: dict[str, tuple[RuleAction, ...]] = {"": ("allow",)}
    if include_deny_rules:
        tiers["deny_"] = ("override_deny", "deny")
    found = [
        [
            {
                match.rule.id: match.rule.action
                for match in index.matches(ends[edge.source], ends[edge.destination], traffic)
            }
            for traffic in edge.services
        ]
        for edge in edges
    ]
    answer: Document = {}
    for prefix, actions in tiers.items():
        keys = [[[id for id, a in one.items() if a in actions] for one in row] for row in found]
        answer[f"{prefix}edges"] = keys
        ids = sorted({id for row in keys for one in row for id in one})
        answer[f"{prefix}rules"] = {id: content.rule(id) for id in ids}
    return answer


def search_rules(caller: Caller, version: str, body: Any, stores: Stores) -> list[Document]:
    """The enabled rules of a version that a search asks for, by href: allow rules, and others with
    ``include_deny_rules``.

    Raises :class:`Invalid` naming what is wrong or does not exist. Cost: :func:`read_policy`; with
    ``resolve_actors`` every rule is resolved, 4 seconds for 20,000.
    """
    wanted = rule_search(body)
    content = read_policy(caller.org_id, version, stores)
    actors = {*wanted.providers, *wanted.consumers, *wanted.either}
    index, ends = _ends(caller, content, actors, wanted.hrefs, stores)
    found = search(
        index,
        wanted.providers,
        wanted.consumers,
        wanted.either,
        wanted.services,
        ends=ends if wanted.resolve else None,
    )
    kept = (rule for rule in found if wanted.deny_rules or rule.action == "allow")
    return [content.rule(rule.id) for rule in islice(kept, wanted.most)]


def _ends(
    caller: Caller,
    content: PolicyContent,
    actors: Iterable[Actor],
    hrefs: Iterable[str],
    stores: Stores,
) -> tuple[RuleIndex, dict[Actor, End]]:
    """The rules, and the workloads and IP lists among the actors as ends.

    Raises :class:`Invalid` for hrefs that name nothing of the org, or nothing in this version.
    """
    parsed = {href: parse_href(href) for href in hrefs}
    ids = [
        one.id
        for one in parsed.values()
        if one is not None and one.collection in HOSTS and one.org_id == caller.org_id
    ]
    read = workloads_by_id(caller.org_id, ids, stores)
    workloads = [document for document in read.values() if not document.get("deleted")]
    existing = {workload["href"] for workload in workloads}
    problems = [
        Problem("invalid_reference", f"{href} does not exist in {content.version}", href)
        for href in sorted(parsed)
        if href not in existing and not content.knows(href)
    ]
    if problems:
        raise Invalid(problems)
    estate = content.estate(workloads)
    index = RuleIndex(estate)
    by_id = {workload.id: workload for workload in estate.workloads}
    ends: dict[Actor, End] = {}
    for actor in actors:
        if actor.kind == "workload":
            ends[actor] = end_of_workload(by_id[actor.id])
        elif actor.kind == "ip_list":
            ends[actor] = end_of_ip_list(index.spans(AddressSelector("ip_list", actor.id)))
    return index, ends
