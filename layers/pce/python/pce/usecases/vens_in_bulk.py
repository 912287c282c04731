"""One operation on many VENs: batches in transactions, errors by what was wrong, the rest done."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pce.errors import Conflict, Invalid, NotAllowed, PceError, Problem
from pce.events.journal import ResourceChange
from pce.objects.hrefs import parse_href
from pce.objects.ven import VENS
from pce.objects.workload import WORKLOADS
from pce.presence.record import Presence
from pce.store.objects import Stored
from pce.usecases.caller import Caller
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.stores import Stores
from pce.usecases.write_object import not_found, refuse_deleted, until_settled

MAX_IN_ONE_CALL = 1_000
"""VENs or workloads in one call; the documented limit."""
TOGETHER = 20
"""VENs in one transaction: up to four items each, of at most 100."""


@dataclass(frozen=True, slots=True)
class Target:
    """One VEN with all that is stored of it."""

    workload: Stored
    ven: Stored
    row: Presence | None
    """None while it is being uninstalled."""

    @property
    def changed(self) -> ResourceChange:
        """How an event names it."""
        shown = WORKLOADS.in_event(self.workload.document)
        return ResourceChange(WORKLOADS.kind, shown, "update", {})


def on_each(
    caller: Caller,
    body: Any,
    stores: Stores,
    act: Callable[[Sequence[Target]], None],
    refuse: Callable[[Target], Problem | None] = lambda target: None,
) -> dict[str, Any]:
    """Do ``act`` with the VENs that the body names, in batches; with each alone where a batch meets
    a conflict. ``refuse`` says why one is left out.

    Returns ``{"errors": [{"token", "message", "hrefs"}, ...]}``, empty when all succeeded. Raises
    :class:`Invalid` for a body that names none, or too many.
    """
    check = ScopeCheck(caller, stores)
    failed: dict[tuple[str, str], list[str]] = defaultdict(list)
    found: dict[str, Target] = {}
    for href, target in _targets(caller, _hrefs(body), stores).items():
        problem = target if isinstance(target, Problem) else _outside(check, target)
        if problem is None and isinstance(target, Target):
            problem = refuse(target)
        if problem is not None:
            failed[problem.token, problem.message].append(href)
        elif isinstance(target, Target):
            found[href] = target
    hrefs = list(found)
    for first in range(0, len(hrefs), TOGETHER):
        batch = hrefs[first : first + TOGETHER]
        try:
            act([found[href] for href in batch])
        except Conflict:
            for href in batch:
                try:
                    until_settled(lambda h=href: act([_again(caller, h, stores)]))  # type: ignore[misc]
                except PceError as error:
                    failed[error.problems[0].token, error.problems[0].message].append(href)
    return errors_by_cause(failed)


def errors_by_cause(failed: Mapping[tuple[str, str], Sequence[str]]) -> dict[str, Any]:
    """The answer of an operation on many: token and message of each problem, with whose it is."""
    return {
        "errors": [
            {"token": token, "message": message, "hrefs": hrefs}
            for (token, message), hrefs in failed.items()
        ]
    }


def hrefs_in(body: Any, *names: str) -> list[str]:
    """The hrefs of ``{name: [{"href": ...}, ...]}``, under the first of ``names`` that is there;
    each once. Raises :class:`Invalid` for none, or too many."""
    said = body if isinstance(body, Mapping) else {}
    name = next((name for name in names if name in said), names[0])
    listed = said.get(name)
    entries = listed if isinstance(listed, list) else []
    hrefs = [entry.get("href") for entry in entries if isinstance(entry, Mapping)]
    sound = all(isinstance(href, str) for href in hrefs)
    if not hrefs or len(hrefs) > MAX_IN_ONE_CALL or not sound:
        message = f"{name} must be a list of 1 to {MAX_IN_ONE_CALL} objects with an href"
        raise Invalid(Problem("invalid_bulk_request", message, name))
    return list(dict.fromkeys(map(str, hrefs)))


def _outside(check: ScopeCheck, target: Target) -> Problem | None:
    """Why the caller's roles do not reach it."""
    try:
        check.require(WORKLOADS, target.workload.document)
    except NotAllowed as error:
        return error.problems[0]
    return None


def _targets(caller: Caller, hrefs: Sequence[str], stores: Stores) -> dict[str, Target | Problem]:
    """Each VEN, or why there is none. Requests: one for 100 VENs and collection, and presence."""
    parsed = {href: parse_href(href) for href in hrefs}
    ids = {
        href: one.id
        for href, one in parsed.items()
        if one is not None and one.org_id == caller.org_id and one.collection == VENS.name
    }
    workloads = stores.objects.get_many(caller.org_id, WORKLOADS.name, list(ids.values()))
    vens = stores.objects.get_many(caller.org_id, VENS.name, list(ids.values()))
    rows = stores.presence.get_many(caller.org_id, [uuid.UUID(id) for id in vens])
    found: dict[str, Target | Problem] = {}
    for href in hrefs:
        id = ids.get(href, "")
        if id not in workloads or id not in vens:
            found[href] = not_found(VENS, href).problems[0]
            continue
        try:
            refuse_deleted(VENS, vens[id])
        except PceError as error:
            found[href] = error.problems[0]
        else:
            found[href] = Target(workloads[id], vens[id], rows.get(uuid.UUID(id)))
    return found


def _again(caller: Caller, href: str, stores: Stores) -> Target:
    found = _targets(caller, [href], stores)[href]
    if isinstance(found, Problem):
        raise Invalid(found)
    return found


def _hrefs(body: Any) -> list[str]:
    """Hrefs of VENs, of which a body may name the workloads instead; each VEN once."""
    named = (href.replace("/workloads/", "/vens/") for href in hrefs_in(body, "vens", "workloads"))
    return list(dict.fromkeys(named))
