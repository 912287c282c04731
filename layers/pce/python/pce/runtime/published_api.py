"""The management API as an OpenAPI document, made from the tables that the code goes by.

Paths and methods are those of ``api_routes.py``, who may use them those of ``api_access.py``,
bodies those of the collections. ``make publish`` writes ``docs/api/openapi.yaml``; the PCE itself
serves it at ``/api/v2/openapi.json``, and as a page at ``/api/v2/docs``.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from pce.access.roles import ROLES, Right
from pce.objects.authentication_settings import AUTHENTICATION_SETTINGS, PASSWORD_POLICY
from pce.objects.catalogue import COLLECTIONS
from pce.objects.collection import Collection
from pce.objects.examples import EXAMPLES
from pce.objects.json_schema import collection_shown, shape_sent, shown
from pce.objects.product import PRODUCT_VERSION
from pce.objects.settings import (
    EVENT_SETTINGS,
    ORG_SETTINGS,
    REPORT_SETTINGS,
    TRUSTED_PROXIES,
    WORKLOAD_SETTINGS,
    Settings,
)
from pce.objects.syslog_destination import SYSLOG_DESTINATIONS
from pce.runtime.api_call import Endpoint
from pce.runtime.api_event_types import singular

JsonObject = dict[str, Any]
Rows = Iterable[tuple[str, str, Endpoint, Right, str, bool]]
"""Method, path, endpoint, who may use it, type of its event, whether it changes something."""

_SETTINGS = {
    page.href("/orgs/{org}"): page
    for page in (
        *(ORG_SETTINGS, WORKLOAD_SETTINGS, EVENT_SETTINGS, REPORT_SETTINGS, TRUSTED_PROXIES),
        *(AUTHENTICATION_SETTINGS, PASSWORD_POLICY),
    )
}
_COLLECTIONS: Mapping[str, Collection] = {
    **COLLECTIONS,
    "destinations": SYSLOG_DESTINATIONS,
}
LISTS_ARE_SENT = ("service_bindings", "vulnerabilities")
"""Collections to which clients POST an array."""
_STATUS = {
    "POST /login_users/authenticate": 200,
    "POST /login_users/accept_invitation": 204,
    "PUT /users/{id}/local_profile/reinvite": 200,
    "POST /orgs/{org}/sec_policy/draft/dependencies": 200,
    "POST /orgs/{org}/sec_policy/{number}/restore": 200,
    "POST /orgs/{org}/sec_policy/{version}/rule_coverage": 200,
    "POST /orgs/{org}/sec_policy/{version}/rule_search": 200,
    "POST /orgs/{org}/sec_policy/impact": 200,
    "POST /orgs/{org}/traffic_flows/async_queries": 202,
    "POST /orgs/{org}/traffic_flows/traffic_analysis_queries": 200,
    "PUT /orgs/{org}/traffic_flows/async_queries/{id}/update_rules": 202,
    "POST /orgs/{org}/network_devices/{device}/enforcement_instructions_request": 200,
    "POST /orgs/{org}/network_devices/{device}/enforcement_instructions_applied": 200,
    "POST /orgs/{org}/network_devices/multi_enforcement_instructions_request": 200,
    "POST /orgs/{org}/network_devices/multi_enforcement_instructions_applied": 200,
    "PUT /orgs/{org}/label_mapping_rules/update": 200,
    "PUT /orgs/{org}/label_mapping_rules/delete": 200,
    "POST /orgs/{org}/label_mapping_rules/run": 202,
    "PUT /orgs/{org}/label_mapping_rules/run/{id}/assign_labels": 200,
    "PUT /orgs/{org}/workloads/unpair": 200,
    "PUT /orgs/{org}/workloads/apply_policy": 200,
    "POST /orgs/{org}/workloads/set_flow_reporting_frequency": 200,
    "PUT /orgs/{org}/vens/unpair": 200,
    "PUT /orgs/{org}/vens/upgrade": 200,
    "PUT /orgs/{org}/vens/remote_action": 200,
    "PUT /orgs/{org}/vens/authentication_recovery": 200,
    "PUT /orgs/{org}/vens/clear_conditions": 200,
    "POST /orgs/{org}/vens/statistics": 200,
    "POST /orgs/{org}/workloads/{id}/upgrade": 200,
}
"""Where success is not what its method usually says."""
_USUAL = {"GET": 200, "POST": 201, "PUT": 204, "DELETE": 204}
_REFUSALS = {
    "401": "No credentials, or wrong ones",
    "403": "Another organization, a missing role, or outside its scope",
    "404": "No such thing, or none that the caller may know of",
    "406": "What was sent cannot be accepted; nothing was changed",
    "409": "Changed meanwhile by somebody else; read again and repeat",
    "413": "Larger than a stated limit",
    "429": "Too many requests; repeat after `Retry-After` seconds",
}
_ONLY_OF_CHANGES = ("409", "413")
_PARAMETERS = {
    "org": "Number of the caller's organization",
    "version": "`draft`, `active` or the number of a policy version",
    "number": "Number of a policy version",
}


@lru_cache(maxsize=1)
def openapi(rows: tuple[Any, ...]) -> JsonObject:
    """The whole document. ``rows`` are :data:`Rows`."""
    paths: JsonObject = {}
    for method, path, endpoint, right, event_type, changes in rows:
        operation = _operation(method, path, endpoint, right)
        if changes:
            operation["x-event"] = event_type
        paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Management API of the serverless PCE",
            "version": PRODUCT_VERSION["version"],
            "description": (
                "Paths lie under `/api/v2`. Credentials are an API key or a session, as HTTP Basic."
                " Errors are a list of `{token, message, field?}`. Lists take `max_results` and"
                " answer with the total in `X-Total-Count`; with `Prefer: respond-async` they"
                " become a job. `x-roles` names who may use an endpoint, `x-event` the audit event"
                " that it writes."
            ),
        },
        "servers": [{"url": "/api/v2"}],
        "security": [{"basic": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
            "schemas": _schemas(),
            "parameters": {
                **{
                    name: {
                        "name": name,
                        "in": "path",
                        "required": True,
                        "description": what,
                        "schema": {"type": "string" if name == "version" else "integer"},
                    }
                    for name, what in _PARAMETERS.items()
                },
                "max_results": {
                    "name": "max_results",
                    "in": "query",
                    "description": "How many objects to list; 0 asks for the total alone",
                    "schema": {"type": "integer", "minimum": 0},
                },
            },
            "responses": {
                "Job": _JOB,
                **{
                    f"Refused{status}": {
                        "description": what,
                        "content": _json({"$ref": "#/components/schemas/Problems"}),
                    }
                    for status, what in _REFUSALS.items()
                },
            },
        },
    }


def _schemas() -> JsonObject:
    problem = {
        "type": "object",
        "required": ["token", "message"],
        "properties": {name: {"type": "string"} for name in ("token", "message", "field")},
    }
    schemas: JsonObject = {"Problems": {"type": "array", "items": problem, "minItems": 1}}
    for name, collection in sorted(_COLLECTIONS.items()):
        kind = collection.kind
        schemas[kind] = collection_shown(collection)
        schemas[f"{kind}_new"] = shape_sent(collection.shape)
        schemas[f"{kind}_change"] = shape_sent(collection.shape, partial=True)
        if name in EXAMPLES:
            schemas[f"{kind}_new"]["examples"] = [EXAMPLES[name]]
    for page in _SETTINGS.values():
        properties = {name: shown(field) for name, field in page.shape.fields.items()}
        schemas[_page_name(page)] = {
            "type": "object",
            "required": ["href"],
            "properties": {"href": {"type": "string"}, **properties},
        }
        schemas[f"{_page_name(page)}_change"] = shape_sent(page.shape, partial=True)
    return schemas


def _page_name(page: Settings) -> str:
    return page.event_type.partition(".")[0]


def _operation(method: str, path: str, endpoint: Endpoint, right: Right) -> JsonObject:
    status = _STATUS.get(f"{method} {path}", _USUAL[method])
    sent, answered = _bodies(method, path)
    if sent is not None or "/bulk_" in path:
        status = 200 if "/bulk_" in path and method == "PUT" else status
    is_list = method == "GET" and answered is not None and answered.get("type") == "array"
    success: JsonObject = {"description": "Done"}
    if status != 204 and not path.endswith("/update_rules"):
        success["content"] = _json(answered if answered is not None else {})
    if is_list:
        success["headers"] = {"X-Total-Count": {"schema": {"type": "integer"}}}
    operation: JsonObject = {
        "operationId": _operation_id(method, path),
        "summary": _summary(method, path, endpoint),
        "tags": [_tag(path)],
        "parameters": [*_path_parameters(path), *(_filters(path) if is_list else ())],
        "responses": {
            str(status): success,
            **({"202": {"$ref": "#/components/responses/Job"}} if is_list else {}),
            **{
                code: {"$ref": f"#/components/responses/Refused{code}"}
                for code in _REFUSALS
                if method != "GET" or code not in _ONLY_OF_CHANGES
            },
        },
        "x-roles": _roles(right),
    }
    if method in ("POST", "PUT"):
        schema = sent if sent is not None else {}
        operation["requestBody"] = {"required": False, "content": _json(schema)}
    return operation


_JOB: JsonObject = {
    "description": "With `Prefer: respond-async`: a job, whose result is a file with the list",
    "headers": {
        "Location": {"schema": {"type": "string"}},
        "Retry-After": {"schema": {"type": "integer"}},
    },
}


def _bodies(method: str, path: str) -> tuple[JsonObject | None, JsonObject | None]:
    """Schemas of what is sent and what is answered; None where nothing is said."""
    page = _SETTINGS.get(path)
    if page is not None:
        return _ref(f"{_page_name(page)}_change"), _ref(_page_name(page))
    parts = path.strip("/").split("/")
    collection = _COLLECTIONS.get(parts[-2 if path.endswith("}") and len(parts) > 1 else -1])
    if parts[-1].startswith("bulk_") and parts[-2] in _COLLECTIONS:
        what = {"bulk_create": "_new", "bulk_update": "_change"}.get(parts[-1])
        entry = _ref(f"{_COLLECTIONS[parts[-2]].kind}{what}") if what else {"type": "object"}
        return {"type": "array", "items": entry}, _ANY_LIST
    if collection is None or path == "/users/login":
        is_list = parts[-1].endswith("s") and method == "GET" and not _is_object(path)
        return None, _ANY_LIST if is_list else None
    kind = collection.kind
    if path.endswith("}") or collection.name == parts[-1] == "firewall_settings":
        return _ref(f"{kind}_change"), _ref(kind)
    if method == "GET":
        return None, {"type": "array", "items": _ref(kind)}
    if collection.name in LISTS_ARE_SENT:
        # One that exists is changed: only a new one needs all that is required.
        items = {"anyOf": [_ref(f"{kind}_new"), _ref(f"{kind}_change")]}
        return {"type": "array", "items": items}, _ANY_LIST
    return _ref(f"{kind}_new"), _ref(kind)


_ANY_LIST: JsonObject = {"type": "array"}


def _is_object(path: str) -> bool:
    return path.endswith(
        (
            "/risk_details",
            "/settings",
            "/database_metrics",
            "/kerberos",
            "/enforcement_instructions",
        )
    )


def _ref(name: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: JsonObject) -> JsonObject:
    return {"application/json": {"schema": schema}}


def _path_parameters(path: str) -> Iterable[JsonObject]:
    for name in re.findall(r"\{(\w+)\}", path):
        if name in _PARAMETERS:
            yield {"$ref": f"#/components/parameters/{name}"}
        else:
            yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _filters(path: str) -> Iterable[JsonObject]:
    yield {"$ref": "#/components/parameters/max_results"}
    collection = _COLLECTIONS.get(path.rsplit("/", 1)[-1])
    for name in sorted(collection.filters) if collection else ():
        if name != "max_results":
            yield {"name": name, "in": "query", "schema": {"type": "string"}}


def _roles(right: Right) -> list[str]:
    if right.anybody:
        return ["anybody with credentials"]
    roles = [role for role in ROLES if role in right.roles]
    return [*roles, "the user whom the path names"] if right.self_too else roles


def _operation_id(method: str, path: str) -> str:
    words = re.sub(r"[^a-z_]+", "_", path.replace("{", "by_").lower()).strip("_")
    return f"{method.lower()}_{words.replace('orgs_by_org_', 'org_', 1)}"


def _tag(path: str) -> str:
    """The first part of a path that tells endpoints apart."""
    parts = [p for p in path.strip("/").split("/") if not p.startswith("{") and p != "orgs"]
    if parts and parts[0] == "sec_policy":
        parts = [p for p in parts[1:] if p != "draft"] or parts
    return parts[0] if parts else "pce"


def _summary(method: str, path: str, endpoint: Endpoint) -> str:
    said = (endpoint.__doc__ or "").strip().split("\n\n")[0]
    if said and endpoint.__name__ not in ("<lambda>", "endpoint"):
        return " ".join(said.split()).removesuffix(".")
    parts = [part for part in path.strip("/").split("/") if not part.startswith("{")]
    if path.endswith("}") or path in _SETTINGS:
        verb = {"GET": "Read", "PUT": "Change", "DELETE": "Delete"}[method]
        return f"{verb} {singular(parts[-1])}" if path.endswith("}") else f"{verb} {parts[-1]}"
    if method == "POST":
        return f"Create {singular(parts[-1])}"
    return f"{'List' if method == 'GET' else 'Change'} {parts[-1]}"
