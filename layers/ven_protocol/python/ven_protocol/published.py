"""The VEN API as OpenAPI and AsyncAPI documents, made from the messages themselves.

``make publish`` writes them to ``docs/ven-api/``; a test fails when the files there are stale. So
anyone can write a VEN without reading this code.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from ven_protocol import limits, messages, paths
from ven_protocol.bolts import Bolt, KeepAlive
from ven_protocol.policy import PolicyReply

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One HTTP operation of the VEN API. ``path`` lies under a VEN's own prefix; one that begins
    with a slash is whole, and needs no agent token."""

    method: str
    path: str
    summary: str
    request: type[messages.Message] | None = None
    status: int = 204
    reply: type[messages.Message] | None = None
    binary: bool = False
    """The body is a flow batch, not JSON."""


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "post",
        paths.ACTIVATE,
        "Exchange an activation code for an identity",
        messages.Activate,
        201,
        messages.Activated,
    ),
    Operation(
        "post",
        "heartbeat",
        "The VEN is up; what it should hold and do",
        messages.Heartbeat,
        200,
        messages.HeartbeatReply,
    ),
    Operation(
        "post",
        "flows",
        "A window of flow summaries, and a heartbeat with it",
        None,
        200,
        messages.FlowsAccepted,
        binary=True,
    ),
    Operation(
        "get", "policy", "The policy to enforce, whole or as a delta", None, 200, PolicyReply
    ),
    Operation(
        "post",
        "policy/applied",
        "The kernel holds this policy",
        messages.PolicyApplied,
        200,
        messages.AppliedReply,
    ),
    Operation("put", "interfaces", "All addresses of the host", messages.InterfacesReport),
    Operation("put", "services", "Open ports and processes", messages.ServicesReport),
    Operation("put", "users", "Interactive users (Windows)", messages.UsersReport),
    Operation(
        "put",
        "compatibility",
        "What may get in the way of policy (idle VENs)",
        messages.CompatibilityReport,
    ),
    Operation(
        "put",
        "container_workloads",
        "Pods or containers of the host",
        messages.ContainerWorkloadsReport,
    ),
    Operation(
        "get",
        "container_workloads",
        "Which policies the host's container workloads should hold",
        None,
        200,
        messages.ContainerPolicies,
    ),
    Operation("post", "tampering", "The firewall table was changed", messages.Tampering),
    Operation(
        "post",
        "support_reports",
        "Ask where to upload a support report",
        messages.SupportReportRequest,
        201,
        messages.SupportReportUpload,
    ),
    Operation("post", "suspend", "All rules were removed; the VEN stops"),
    Operation("post", "unsuspend", "The VEN enforces again"),
    Operation("post", "goodbye", "The VEN stops in an orderly way", messages.Goodbye),
    Operation("post", "deactivate", "The VEN unpairs; its token becomes void", messages.Deactivate),
    Operation("post", "token", "Exchange the agent token", None, 200, messages.TokenRefreshed),
    Operation(
        "post",
        "ticket",
        "A Kerberos ticket for a new agent token",
        messages.Ticket,
        200,
        messages.TokenRefreshed,
    ),
    Operation(
        "post",
        "recovery",
        "A recovery code for a new agent token",
        messages.RecoveryCode,
        200,
        messages.TokenRefreshed,
    ),
    Operation(
        "post",
        "clone",
        "A clone of the VEN becomes a VEN of its own",
        messages.Reactivate,
        201,
        messages.Activated,
    ),
    Operation("post", "lost", "Authentication fails for hours", messages.LostAgent),
    Operation(
        "get",
        paths.SOFTWARE,
        "The package of a release, for a VEN that is to be upgraded",
        None,
        200,
        messages.SoftwareRelease,
    ),
)

_ERRORS = {
    "401": "The activation code or agent token is not valid (any more); the token says why",
    "403": "The path belongs to another VEN or another org",
    "406": "The body or the protocol version cannot be accepted; nothing was changed",
    "413": "The body is over its limit, as sent or inflated",
    "429": "Too many requests; repeat after a random wait",
}


def openapi() -> JsonObject:
    """The HTTP part, as an OpenAPI 3.1 document."""
    kinds: set[type[messages.Message]] = {messages.Problem}
    for operation in OPERATIONS:
        kinds |= {kind for kind in (operation.request, operation.reply) if kind is not None}
    _, schemas = _schemas(kinds)
    documented: JsonObject = {}
    for operation in OPERATIONS:
        path = operation.path
        if not path.startswith("/"):
            path = f"{paths.VEN_PREFIX}/{path}"
        documented.setdefault(path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "VEN API",
            "version": f"{limits.PROTOCOL_VERSION}.0.0",
            "description": (
                "What a VEN and the PCE say to each other over HTTPS. The version is the first"
                " path segment after /ven; another version is refused with 406 and the list of"
                " versions spoken. Unknown fields are ignored on both sides. Bodies may be"
                " compressed with gzip or zstd, and are then sent as application/octet-stream."
                " Bolts are described in asyncapi.yaml, the body of a flow post in flow-batch.md."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "https://{pce}", "variables": {"pce": {"default": "localhost:8443"}}}],
        "paths": documented,
        "components": {
            "securitySchemes": {
                "agentToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The agent token of the activation",
                }
            },
            "schemas": schemas,
        },
    }


def asyncapi() -> JsonObject:
    """The bolt channel, as an AsyncAPI 3.0 document."""
    _, schemas = _schemas({Bolt, KeepAlive})
    oldest, youngest = limits.BOLT_RECONNECT_AFTER_S[1], limits.BOLT_RECONNECT_AFTER_S[0]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Bolts",
            "version": f"{limits.PROTOCOL_VERSION}.0.0",
            "description": (
                "The WebSocket on which the PCE tells a VEN that something changed. Connect to the"
                " bolts_url of the settings with the agent token as bearer token. A bolt is a hint:"
                " a lost one is repaired by the next heartbeat, an unknown type is ignored. Send a"
                f" keep-alive at least every {limits.BOLT_KEEPALIVE_S} seconds; connect again at a"
                f" random age between {youngest} and {oldest} seconds. No message is longer than"
                f" {limits.MAX_BOLT_BYTES} bytes.\n\nA policy bolt may save the fetch: reply is the"
                " body that GET policy would answer to If-None-Match: base, a PolicyReply of"
                " openapi.yaml as JSON, compressed with gzip, at most"
                f" {limits.MAX_BOLT_REPLY_BYTES} bytes. Take it only if you hold base (empty: you"
                " hold none) and the result has its digest; fetch otherwise, after a random time in"
                " [0, spread_s] seconds. Report what you applied at a random moment in"
                " [report_after_s, 2 * report_after_s] seconds, or within"
                f" {limits.REPORT_WITHIN_S:g} s when that is 0; the reply to the report says what"
                " you should hold, for a bolt may be late."
            ),
        },
        "channels": {
            "bolts": {
                "address": "/",
                "messages": {
                    "bolt": {"payload": {"$ref": "#/components/schemas/Bolt"}},
                    "keepAlive": {"payload": {"$ref": "#/components/schemas/KeepAlive"}},
                },
            }
        },
        "operations": {
            "receiveBolt": {
                "action": "send",
                "channel": {"$ref": "#/channels/bolts"},
                "messages": [{"$ref": "#/channels/bolts/messages/bolt"}],
                "summary": "PCE to VEN",
            },
            "keepAlive": {
                "action": "receive",
                "channel": {"$ref": "#/channels/bolts"},
                "messages": [{"$ref": "#/channels/bolts/messages/keepAlive"}],
                "summary": "VEN to PCE",
            },
        },
        "components": {"schemas": schemas},
    }


def _schemas(kinds: set[type[messages.Message]]) -> tuple[tuple[JsonObject, ...], JsonObject]:
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    return msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")


def _reference(kind: type[messages.Message]) -> JsonObject:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}


def _operation(operation: Operation) -> JsonObject:
    problems = {"type": "array", "items": {"$ref": "#/components/schemas/Problem"}}
    reply: JsonObject = {"description": "Done"}
    if operation.reply is not None:
        reply = {"description": operation.reply.__name__, "content": _reference(operation.reply)}
    responses: JsonObject = {str(operation.status): reply}
    if operation.path == "policy":
        responses["304"] = {"description": "The VEN holds the current policy"}
        responses["404"] = {"description": "No policy was computed yet; keep what you enforce"}
    for status, description in _ERRORS.items():
        content = {"application/json": {"schema": problems}}
        responses[status] = {"description": description, "content": content}
    documented: JsonObject = {
        "operationId": _name(operation.path) + ("_get" if operation.method == "get" else ""),
        "summary": operation.summary,
        "responses": responses,
    }
    if operation.path == paths.SOFTWARE:
        responses["404"] = {"description": "The PCE does not offer this release"}
        documented["parameters"] = [_parameter("release", {"type": "string"})]
    if not operation.path.startswith("/"):
        documented["security"] = [{"agentToken": []}]
        documented["parameters"] = [
            _parameter("org_id", {"type": "integer", "minimum": 1}),
            _parameter("ven_id", {"type": "string", "format": "uuid"}),
        ]
    if operation.path == "policy":
        header = _parameter("If-None-Match", {"type": "string"})
        header |= {"in": "header", "required": False, "description": "Etag of the policy held"}
        documented["parameters"].append(header)
    if operation.request is not None:
        documented["requestBody"] = {"required": True, "content": _reference(operation.request)}
    if operation.binary:
        body = {"schema": {"type": "string", "format": "binary"}}
        documented["requestBody"] = {
            "required": True,
            "description": "A flow batch (flow-batch.md), compressed",
            "content": {"application/octet-stream": body},
        }
    return documented


def _name(path: str) -> str:
    """``policy/applied`` as policy_applied, ``/ven/v1/software/{release}`` as software."""
    own = path.split("/")[3:4] if path.startswith("/") else path.split("/")
    return "_".join(own)


def _parameter(name: str, schema: JsonObject) -> JsonObject:
    return {"name": name, "in": "path", "required": True, "schema": schema}
