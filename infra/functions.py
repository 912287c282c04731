"""Every function on one page: what calls it, what it may do, how large it is and why.

This is the page of the security review. A function's role holds what stands here, the right to
write its own log and nothing else. A grant implies the environment variable that names the thing
granted (``PCE_OBJECTS_TABLE`` for a grant on ``objects``); ``settings`` are the further ones.

A transaction needs the right for each of its parts: ``PutItem``, ``UpdateItem``, ``DeleteItem``,
``ConditionCheckItem``; there is no right called TransactWriteItems (DynamoDB, "IAM policies").
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Table = Literal["presence", "objects", "events", "flows", "policy"]
Queue = Literal["compile", "bolts", "traffic_queries", "streams"]
Folder = Literal[
    "support_reports",
    "traffic_results",
    "datafiles",
    "reports",
    "directories",
    "keytabs",
    "enforcement_instructions",
]
Setting = Literal[
    "PCE_URL",
    "PCE_BOLTS_URL",
    "PCE_BOLTS_MANAGEMENT_URL",
    "PCE_ARCHIVE_URL",
    "PCE_HEARTBEAT_INTERVAL_S",
    "PCE_FLOW_INTERVAL_S",
    "PCE_VEN_PACKAGES",
    "PCE_VEN_RELEASES",
    "PCE_SUMMARIES_STREAM",
    "PCE_AUDITABLE_STREAM",
]


@dataclass(frozen=True, slots=True)
class Size:
    """Memory buys CPU in proportion: 1,769 MB are one core (AWS Lambda, "Configure memory")."""

    memory_mb: int
    timeout_s: int
    why: str


HOT = Size(512, 10, "0.29 of a core answers in 15 ms; 10 s outlast every retry of DynamoDB")
RARE = Size(512, 20, "called seldom; a transaction that loses races is tried again a few times")
TINY = Size(128, 3, "a constant answer: no table, no client library")


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One function. ``name`` is its folder under ``functions/``."""

    name: str
    does: str
    size: Size
    routes: tuple[str, ...] = ()
    """Routes of the HTTP API, ``METHOD /path``."""
    queue: Queue | None = None
    """The queue whose messages invoke it."""
    batch_size: int = 1
    """Most messages of ``queue`` in one invocation."""
    tables: Mapping[Table, tuple[str, ...]] = field(default_factory=dict)
    """DynamoDB actions by table."""
    sends: tuple[Queue, ...] = ()
    bucket: Mapping[Folder, tuple[str, ...]] = field(default_factory=dict)
    """S3 actions by the first folder of the key. ``GetObject`` brings ``ListBucket``: without it
    S3 answers 403 instead of 404 for a key that does not exist (Amazon S3, GetObject)."""
    posts_bolts: bool = False
    """May post to open WebSocket connections."""
    fills_archive: bool = False
    """May put records into the two Firehose streams."""
    settings: tuple[Setting, ...] = ()
    emits_metrics: bool = False
    """Writes metrics to its log, so its log level must let them pass."""


VEN = "/ven/v1/orgs/{org_id}/vens/{ven_id}"

#: What a VEN's request may lead to, whatever else it does: one write authenticates and records it;
#: a VEN that was silent comes back in one transaction, and its peers' policy is computed again.
SIGN_OF_LIFE: Mapping[Table, tuple[str, ...]] = {
    "presence": ("UpdateItem",),
    "objects": ("GetItem", "BatchGetItem", "PutItem"),
    "events": ("PutItem",),
}

#: What a VEN is told of clocks and addresses: all of it by whoever tells it any, since a VEN takes
#: on whatever differs from what it has.
VEN_SETTINGS: tuple[Setting, ...] = (
    *("PCE_URL", "PCE_BOLTS_URL"),
    *("PCE_HEARTBEAT_INTERVAL_S", "PCE_FLOW_INTERVAL_S"),
)

FUNCTIONS: tuple[FunctionSpec, ...] = (
    # -- the VEN API ---------------------------------------------------------------------------
    FunctionSpec(
        name="ven_activate",
        does="Exchanges an activation code for a VEN's identity and token.",
        routes=("POST /ven/v1/activate", f"POST {VEN}/clone"),
        size=RARE,
        tables={
            "presence": ("GetItem", "PutItem", "UpdateItem"),
            "objects": ("GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem"),
            "events": ("PutItem",),
        },
        sends=("compile",),
        settings=VEN_SETTINGS,
    ),
    FunctionSpec(
        name="ven_heartbeat",
        does="Records that a VEN is up; says which policy it should hold and what it should do.",
        routes=(f"POST {VEN}/heartbeat",),
        size=HOT,
        tables={
            **SIGN_OF_LIFE,
            # GetItem: before a clone is reported.
            "presence": ("GetItem", "UpdateItem"),
            "policy": ("GetItem",),
        },
        sends=("compile",),
        settings=VEN_SETTINGS,
    ),
    FunctionSpec(
        name="ven_flows",
        does="Stores a batch of flow summaries; a flow post is a heartbeat too.",
        routes=(f"POST {VEN}/flows",),
        size=Size(1024, 20, "inflates up to 8 MB and sorts up to 50,000 summaries"),
        tables={
            **SIGN_OF_LIFE,
            "presence": ("GetItem", "UpdateItem"),
            # Query: traffic collector settings, every half minute.
            "objects": (*SIGN_OF_LIFE["objects"], "Query"),
            "flows": ("PutItem",),
            "policy": ("GetItem",),
        },
        sends=("compile",),
        bucket={"directories": ("GetObject",)},
        settings=VEN_SETTINGS,
    ),
    FunctionSpec(
        name="ven_policy",
        does="Serves a VEN its policy (304, delta or all of it) and hears what was applied.",
        routes=(f"GET {VEN}/policy", f"POST {VEN}/policy/applied"),
        size=HOT,
        tables={**SIGN_OF_LIFE, "policy": ("GetItem", "BatchGetItem")},
        sends=("compile",),
        settings=("PCE_URL",),
    ),
    FunctionSpec(
        name="ven_reports",
        does="Takes interfaces, services, users, compatibility, container workloads and tampering;"
        " gives the URL that a support report is uploaded to.",
        routes=(
            f"PUT {VEN}/interfaces",
            f"PUT {VEN}/services",
            f"PUT {VEN}/users",
            f"PUT {VEN}/compatibility",
            f"PUT {VEN}/container_workloads",
            f"GET {VEN}/container_workloads",
            f"POST {VEN}/tampering",
            f"POST {VEN}/support_reports",
        ),
        size=RARE,
        tables=SIGN_OF_LIFE,
        sends=("compile",),
        # The URL that it signs can do no more than it may do itself.
        bucket={"support_reports": ("PutObject",)},
        settings=("PCE_URL", "PCE_ARCHIVE_URL"),
    ),
    FunctionSpec(
        name="ven_lifecycle",
        does="Suspends, unsuspends, says goodbye, deactivates, refreshes tokens, notes lost VENs;"
        " gives a VEN that shows a recovery code another token.",
        routes=(
            f"POST {VEN}/suspend",
            f"POST {VEN}/unsuspend",
            f"POST {VEN}/goodbye",
            f"POST {VEN}/deactivate",
            f"POST {VEN}/token",
            f"POST {VEN}/lost",
            f"POST {VEN}/recovery",
        ),
        size=RARE,
        tables={**SIGN_OF_LIFE, "presence": ("GetItem", "UpdateItem", "DeleteItem")},
        sends=("compile",),
        settings=("PCE_URL",),
    ),
    FunctionSpec(
        name="ven_ticket",
        does="Gives a VEN that shows a Kerberos ticket another token. The only one that may read"
        " keytabs.",
        routes=(f"POST {VEN}/ticket",),
        size=RARE,
        tables={
            "presence": ("UpdateItem",),
            "objects": ("BatchGetItem",),
            "events": ("PutItem",),
        },
        bucket={"keytabs": ("GetObject",)},
        settings=("PCE_URL",),
    ),
    FunctionSpec(
        name="ven_version",
        does="Refuses a VEN of another protocol version and names the versions spoken.",
        routes=("ANY /ven/{proxy+}",),
        size=TINY,
    ),
    FunctionSpec(
        name="ven_software",
        does="Serves the pairing script and the VEN's packages, to anybody.",
        routes=("GET /api/{version}/software/ven/image", "GET /ven/v1/software/{release}"),
        size=Size(256, 10, "reads a file of a few hundred kB for each release"),
        settings=("PCE_VEN_PACKAGES",),
    ),
    # -- bolts ---------------------------------------------------------------------------------
    FunctionSpec(
        name="bolts_connect",
        does="Admits a VEN to the bolt channel by its agent token and notes the connection.",
        size=HOT,
        tables={"presence": ("UpdateItem",)},
    ),
    FunctionSpec(
        name="bolts_message",
        does="Takes keep-alives.",
        size=TINY,
    ),
    FunctionSpec(
        name="bolts_fan_out",
        does="Posts queued bolts to their connections; finds the VENs of a wave.",
        size=Size(512, 30, "1,000 posts of 10 ms, and slow readers"),
        queue="bolts",
        batch_size=10,
        tables={
            "presence": ("BatchGetItem", "Query", "UpdateItem"),
            "policy": ("GetItem", "BatchGetItem", "PutItem", "UpdateItem"),
        },
        sends=("bolts",),
        posts_bolts=True,
        settings=("PCE_BOLTS_MANAGEMENT_URL",),
    ),
    # -- management ----------------------------------------------------------------------------
    FunctionSpec(
        name="api",
        does="The management API.",
        routes=("ANY /api/v2/{proxy+}",),
        size=Size(1024, 25, "filters whole collections in memory; API Gateway ends at 30 s"),
        tables={
            "presence": ("GetItem", "BatchGetItem", "Query", "UpdateItem"),
            "objects": (
                *("GetItem", "BatchGetItem", "Query"),
                *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"),
            ),
            "events": ("Query", "PutItem"),
            "flows": ("Query", "PutItem", "DeleteItem"),
            # Bolts are booked by whoever queues them: here by a person who has policy applied.
            "policy": ("GetItem", "BatchGetItem", "PutItem"),
        },
        sends=("compile", "traffic_queries", "bolts"),
        bucket={
            # The URL of a download that it signs can do no more than it may do itself.
            "support_reports": ("GetObject",),
            "traffic_results": ("GetObject",),
            "keytabs": ("PutObject", "DeleteObject"),
            "datafiles": ("GetObject", "PutObject"),
            "enforcement_instructions": ("GetObject", "PutObject"),
            "reports": ("GetObject",),
            "directories": ("GetObject",),
        },
        settings=(
            "PCE_URL",
            "PCE_HEARTBEAT_INTERVAL_S",
            "PCE_FLOW_INTERVAL_S",
            "PCE_VEN_RELEASES",
            "PCE_ARCHIVE_URL",
        ),
    ),
    FunctionSpec(
        name="org_create",
        does="Creates an org; returns its API key and activation code, once. Or gives an org an"
        " owner. Invoked by the operator, never by a request from outside.",
        size=RARE,
        tables={
            # Query, BatchGetItem: users and permissions of an org that is to get an owner.
            "objects": (
                *("GetItem", "BatchGetItem", "Query"),
                *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"),
            ),
            "events": ("PutItem",),
        },
        sends=("compile",),
        settings=("PCE_URL", "PCE_ARCHIVE_URL"),
    ),
    # -- streams out ---------------------------------------------------------------------------
    FunctionSpec(
        name="stream_wake",
        does="Every minute: finds the destinations of flow summaries and audit events that have"
        " something to get; once an hour, orgs whose flows are to be rolled up.",
        size=Size(512, 50, "two queries an org and five a destination; ends before the next one"),
        tables={"objects": ("Query",), "events": ("Query",), "flows": ("Query",)},
        sends=("streams",),
        settings=("PCE_SUMMARIES_STREAM", "PCE_AUDITABLE_STREAM"),
        emits_metrics=True,
    ),
    FunctionSpec(
        name="stream_out",
        does="Takes one destination forward in one source: sends to syslog or the archive. Rolls up"
        " an hour's flows.",
        size=Size(1769, 60, "one core: 18,000 summaries a second; 25 s of steps, the last of 30 s"),
        queue="streams",
        tables={
            "objects": ("GetItem",),
            "events": ("Query", "PutItem"),
            "flows": ("GetItem", "BatchGetItem", "Query", "PutItem"),
        },
        settings=("PCE_URL", "PCE_SUMMARIES_STREAM", "PCE_AUDITABLE_STREAM"),
        fills_archive=True,
    ),
    FunctionSpec(
        name="archive_place",
        does="Tells Firehose under which prefix of the archive each record belongs.",
        size=Size(256, 60, "reads the first bytes of 3 MB of records; Firehose wants a minute"),
    ),
    # -- behind the queues and the clock -------------------------------------------------------
    FunctionSpec(
        name="policy_compile",
        does="Brings the stored policy of one org up to date and tells the VENs concerned.",
        size=Size(3008, 300, "holds every document of the largest org; writes 100,000 rows"),
        queue="compile",
        batch_size=10,
        tables={
            "presence": ("Query", "UpdateItem"),
            "objects": ("GetItem", "BatchGetItem", "Query", "BatchWriteItem"),
            "policy": ("GetItem", "BatchGetItem", "PutItem", "UpdateItem", "BatchWriteItem"),
        },
        sends=("bolts",),
        bucket={"directories": ("GetObject", "PutObject", "DeleteObject")},
        emits_metrics=True,
    ),
    FunctionSpec(
        name="traffic_query",
        does="Runs one explorer query over the stored flows, makes one report of them, writes one"
        " export of a large org's hosts, or runs the label mapping rules once; leaves the result in"
        " the bucket.",
        size=Size(
            1769,
            120,
            "one core decodes 80,000 summaries a second; an export of 100,000 workloads takes 40 s",
        ),
        queue="traffic_queries",
        tables={
            "flows": ("Query",),
            "objects": ("GetItem", "BatchGetItem", "Query", "PutItem"),
            # An export shows hosts with their presence.
            "presence": ("Query",),
            "policy": ("GetItem",),
        },
        bucket={
            "traffic_results": ("GetObject", "PutObject"),
            "datafiles": ("PutObject", "AbortMultipartUpload"),
            "reports": ("PutObject",),
        },
        settings=("PCE_URL",),
    ),
    FunctionSpec(
        name="sweep",
        does="Every minute: finds VENs that fell silent, goodbyes that ran out and reports that are"
        " due.",
        size=Size(1769, 50, "one core: 100,000 rows in 2 s; ends before the next one starts"),
        tables={
            # The only scan of the product: the whole of one small table, once a minute.
            "presence": ("Scan", "UpdateItem", "DeleteItem"),
            "objects": ("GetItem", "BatchGetItem", "Query", "PutItem"),
            "events": ("PutItem",),
            "policy": ("GetItem", "BatchGetItem", "PutItem"),
        },
        sends=("compile", "bolts", "traffic_queries"),
        settings=("PCE_URL", "PCE_HEARTBEAT_INTERVAL_S", "PCE_FLOW_INTERVAL_S"),
        emits_metrics=True,
    ),
)


def spec(name: str) -> FunctionSpec:
    """The function of this name. Raises KeyError when there is none."""
    for candidate in FUNCTIONS:
        if candidate.name == name:
            return candidate
    raise KeyError(f"no function called {name!r} in infra/functions.py")
