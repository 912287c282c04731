"""Bodies of the VEN API's requests and replies.

Each message is a frozen ``msgspec.Struct``: unknown fields are ignored (a newer VEN may say more),
a missing or ill-typed field is an error that names it. Times are RFC 3339 UTC texts or integer
seconds, as the field says. Optional fields are left out when they are not known; null means the
same.
"""

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from ven_protocol.limits import MAX_SUPPORT_REPORT_BYTES, MAX_TICKET_CHARACTERS

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(max_length=1024)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Protocol = Annotated[int, Meta(ge=0, le=255)]
Seconds = Annotated[int, Meta(ge=0, le=2**40)]

VenType = Literal["server", "endpoint", "containerized"]
EnforcementMode = Literal["idle", "visibility_only", "selective", "full"]
VisibilityLevel = Literal[
    "flow_full_detail", "flow_summary", "flow_drops", "flow_off", "enhanced_data_collection"
]
AgentMode = Literal["normal", "degraded", "minimal"]


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every message: immutable, defaults left off the wire. (msgspec does not inherit
    ``kw_only``, and type checkers do not inherit ``frozen``, so each message says both.)"""


class HealthCondition(Message, frozen=True, kw_only=True):
    """One thing that is wrong with the VEN, by a stable code."""

    code: Annotated[str, Meta(max_length=64, pattern="^[a-z_.]+$")]
    severity: Literal["info", "warning", "error"]
    message: Text = ""


class HostFacts(Message, frozen=True, kw_only=True):
    """What a VEN knows about its host; sent at activation and in every heartbeat."""

    hostname: Name
    os_id: Annotated[str, Meta(max_length=255)] = ""
    os_detail: Text = ""
    os_platform: Literal["linux", "windows", "aix", "solaris", "macos"] = "linux"
    version: Annotated[str, Meta(max_length=64)]
    """Version of the VEN software, ``X.Y.Z`` or ``X.Y.Z-BUILD``."""
    public_ip: Annotated[str, Meta(max_length=45)] | None = None
    """The address that the VEN uses towards the PCE, when it knows it."""
    machine_id: Annotated[str, Meta(max_length=128)] = ""
    """As in :class:`Activate`."""
    boot_id: Annotated[str, Meta(max_length=64)] = ""
    """Random name of the host's present boot. A machine never returns to an earlier one, so when
    one VEN's messages do, two machines send them."""


class Interface(Message, frozen=True, kw_only=True):
    """One address of one network interface."""

    name: Name
    address: Annotated[str, Meta(max_length=45)]
    cidr_block: Annotated[int, Meta(ge=0, le=128)] | None = None
    default_gateway_address: Annotated[str, Meta(max_length=45)] | None = None
    link_state: Literal["up", "down", "unknown"] = "unknown"
    friendly_name: Annotated[str, Meta(max_length=255)] | None = None
    loopback: bool = False
    kind: Literal["ethernet", "wireless", "vpn", "bridge", "virtual", "loopback", "other"] = "other"


Interfaces = Annotated[list[Interface], Meta(max_length=4096)]


class ClusterMembership(Message, frozen=True, kw_only=True):
    """The container cluster that a container host belongs to, and the proof."""

    id: Annotated[str, Meta(max_length=36)]
    """Last part of the cluster's href."""
    token: Annotated[str, Meta(max_length=256)]
    """The cluster's token, which was shown when it was created."""


class Activate(Message, frozen=True, kw_only=True):
    """POST /ven/v1/activate: exchange an activation code for an identity."""

    activation_code: Annotated[str, Meta(min_length=1, max_length=256)]
    host: HostFacts
    interfaces: Interfaces = []
    ven_type: VenType = "server"
    container_cluster: ClusterMembership | None = None
    """Of a container host (``ven_type`` ``containerized``), and of no other."""
    machine_id: Annotated[str, Meta(max_length=128)] = ""
    """Stable identity of the machine, by which a clone is told from its original."""
    enforcement_mode: EnforcementMode | None = None
    """Wish of the pairing script; honoured when the pairing profile does not lock it."""
    visibility_level: VisibilityLevel | None = None
    labels: dict[str, Name] = {}
    """Wishes ``{label key: value}``; honoured for keys that the profile does not lock."""


class Intervals(Message, frozen=True, kw_only=True):
    """The clocks that the PCE sets, in seconds."""

    heartbeat_s: Annotated[int, Meta(ge=1, le=86_400)]
    flows_s: Annotated[int, Meta(ge=1, le=86_400)]
    snapshot_s: Annotated[int, Meta(ge=1, le=86_400)] = 600
    bolt_keepalive_s: Annotated[int, Meta(ge=1, le=599)] = 540


class Settings(Message, frozen=True, kw_only=True):
    """What a VEN must know of its organisation; sent at activation, and again when it changes."""

    intervals: Intervals
    bolts_url: str
    """``wss://`` address of the bolt channel; it may be another host than the API."""
    maintenance_token_required: bool = False
    """Local commands that stop or weaken the VEN ask for a maintenance token first."""


def settings_digest(settings: Settings) -> str:
    """Names exactly these settings, so that a heartbeat can say which ones the VEN has."""
    return hashlib.sha256(msgspec.json.encode(settings, order="sorted")).hexdigest()[:16]


class Activated(Message, frozen=True, kw_only=True):
    """201 reply to :class:`Activate`. The token is shown only here."""

    org_id: int
    ven_href: str
    workload_href: str
    agent_token: str
    settings: Settings
    etag: str
    """Name of the policy to fetch first; empty while none was computed."""


class Heartbeat(Message, frozen=True, kw_only=True):
    """POST .../heartbeat: the VEN is up, this is what it is, this is what it enforces."""

    host: HostFacts
    uptime_seconds: Seconds
    agent_mode: AgentMode = "normal"
    applied_etag: Annotated[str, Meta(max_length=64)] = ""
    """Name of the policy that the kernel holds; empty before the first one."""
    health: Annotated[list[HealthCondition], Meta(max_length=32)] = []
    settings_digest: Annotated[str, Meta(max_length=64)] = ""
    """:func:`settings_digest` of the settings that the VEN has; others come in the reply."""
    enforcement_mode: EnforcementMode | None = None
    """Mode that the host really enforces now."""
    done_actions: Annotated[list[str], Meta(max_length=16)] = []
    """Ids of actions of earlier replies that have been carried out or given up."""
    failed_actions: Annotated[dict[Name, Text], Meta(max_length=16)] = {}
    """Those of ``done_actions`` that could not be carried out, and why."""


ActionType = Literal[
    "refresh_policy",
    "support_report",
    "upgrade",
    "unpair",
    "restart",
    "settings",
    "reactivate",
    "maintenance_token",
    "report_flows",
]


class Action(Message, frozen=True, kw_only=True):
    """Something that the PCE asks a VEN to do. It is repeated until it is reported done."""

    id: Name
    type: str
    """One of ``ActionType``; a VEN ignores, and reports done, a type that it does not know.
    ``report_flows``: end the flow window now, and for ten minutes every 60 seconds."""
    params: dict[str, str] = {}
    """``upgrade``: ``release`` (then GET :class:`SoftwareRelease`); ``unpair``:
    ``firewall_restore``; ``maintenance_token``: ``accept``, a token's digest and the epoch second
    until which it is good (:class:`ven_protocol.maintenance.Accepted`)."""


class HeartbeatReply(Message, frozen=True, kw_only=True):
    """200 reply to a heartbeat and to a flow post."""

    etag: str
    """Policy that the VEN should hold; when it differs from its own, fetch."""
    server_time: str
    next_heartbeat_s: int
    """Seconds until the PCE expects the next sign of life."""
    actions: list[Action] = []
    settings: Settings | None = None
    """Present when the VEN's settings are to change."""


class FlowsAccepted(Message, frozen=True, kw_only=True):
    """200 reply to a flow post, which is a heartbeat too."""

    accepted: int
    """Summaries stored by this request; 0 when this batch had been stored before."""
    duplicate: bool
    heartbeat: HeartbeatReply


class InterfacesReport(Message, frozen=True, kw_only=True):
    """PUT .../interfaces: all addresses of the host; sent only when they changed."""

    interfaces: Interfaces


class OpenPort(Message, frozen=True, kw_only=True):
    """One listening socket."""

    protocol: Protocol
    address: Annotated[str, Meta(max_length=45)]
    port: Port
    process_name: Annotated[str, Meta(max_length=1024)] | None = None
    user: Annotated[str, Meta(max_length=255)] | None = None
    package: Annotated[str, Meta(max_length=255)] | None = None
    win_service_name: Annotated[str, Meta(max_length=255)] | None = None
    """Windows alone has it; the Linux VEN never says one."""


class Process(Message, frozen=True, kw_only=True):
    """One running process that owns a listening socket or a flow."""

    pid: Annotated[int, Meta(ge=0)]
    name: Annotated[str, Meta(max_length=1024)]
    path: Annotated[str, Meta(max_length=4096)] = ""
    user: Annotated[str, Meta(max_length=255)] = ""


class ServicesReport(Message, frozen=True, kw_only=True):
    """PUT .../services: open ports and the processes behind them."""

    uptime_seconds: Seconds
    open_ports: Annotated[list[OpenPort], Meta(max_length=20_000)]
    processes: Annotated[list[Process], Meta(max_length=20_000)] = []


class InteractiveUser(Message, frozen=True, kw_only=True):
    """One user session on the host (Windows)."""

    name: Name
    sid: Annotated[str, Meta(max_length=184)]
    groups: Annotated[list[Annotated[str, Meta(max_length=184)]], Meta(max_length=2048)] = []


class UsersReport(Message, frozen=True, kw_only=True):
    """PUT .../users: everybody who is logged on; replaces the previous report."""

    users: Annotated[list[InteractiveUser], Meta(max_length=4096)]


Count = Annotated[int, Meta(ge=0, le=2**53)]


class CompatibilityReport(Message, frozen=True, kw_only=True):
    """PUT .../compatibility: what on the host of an idle VEN may get in the way of policy. Sent
    when it changed; counts of packets and connections are rounded down to a power of ten, so that a
    host in use has nothing new to say. The host's addresses are in its :class:`InterfacesReport`.
    """

    ipv4_rules: Count = 0
    """Firewall rules of others that see IPv4; a chain that drops by default counts as one."""
    ipv6_rules: Count = 0
    untracking_rules: Count = 0
    """Those of them that take packets away from connection tracking."""
    firewall_services: Annotated[list[Name], Meta(max_length=32)] = []
    """Services that run and write firewall rules of their own."""
    ipv4_forwarding: bool = False
    ipv4_forwarded_packets: Count = 0
    """Since the host started."""
    ipv6_connections: Count = 0
    """The most that were seen at once; those of the host with itself are left out."""
    ipsec: bool = False
    """The kernel encrypts some traffic, or lets it in encrypted only."""
    missing: Annotated[list[Name], Meta(max_length=32)] = []
    """What enforcement needs and this host does not have."""


class ContainerWorkload(Message, frozen=True, kw_only=True):
    """One pod or container of a container host, with a network of its own.

    Its id among workloads is :func:`~ven_protocol.paths.container_workload_id`.
    """

    id: Name
    """Of the container runtime; the same for as long as the pod exists."""
    name: Name
    namespace: Annotated[str, Meta(max_length=253)] = ""
    image: Text = ""
    interfaces: Interfaces = []
    labels: Annotated[dict[str, Name], Meta(max_length=64)] = {}
    """Wishes ``{label key: value}``; honoured where the profile of the namespace lets the pod
    choose among labels."""


class ContainerWorkloadsReport(Message, frozen=True, kw_only=True):
    """PUT .../container_workloads: all pods or containers; replaces the previous report."""

    container_workloads: Annotated[list[ContainerWorkload], Meta(max_length=4096)]


class ContainerPolicy(Message, frozen=True, kw_only=True):
    """Which policy one container workload should hold."""

    id: Name
    """As the VEN reported it."""
    etag: str
    """Empty while no policy was computed."""


class ContainerPolicies(Message, frozen=True, kw_only=True):
    """200 reply to GET .../container_workloads: the host's container workloads that are managed.

    Each policy is fetched and reported applied as a VEN's own, under the container workload's id
    and with the host's secret (:meth:`~ven_protocol.paths.AgentToken.of_container`). A container
    that is not listed is not managed: its network is left alone.
    """

    container_workloads: list[ContainerPolicy]


class PolicyApplied(Message, frozen=True, kw_only=True):
    """POST .../policy/applied: the kernel holds this policy (or refused it)."""

    etag: Annotated[str, Meta(min_length=1, max_length=64)]
    success: bool = True
    received_at: Text = ""
    applied_at: Text = ""
    rule_count: Annotated[int, Meta(ge=0)] = 0
    error: Text = ""


class AppliedReply(Message, frozen=True, kw_only=True):
    """200 reply to :class:`PolicyApplied`."""

    etag: str
    """Policy that the VEN should hold now; when it applied another, because a bolt was late, fetch.
    To one that refused a policy this says nothing new."""


class Tampering(Message, frozen=True, kw_only=True):
    """POST .../tampering: somebody else changed the VEN's firewall table, or tried to stop the VEN
    without a good maintenance token."""

    kind: Literal["firewall", "agent"] = "firewall"
    num_reverts: Annotated[int, Meta(ge=0)]
    revert_succeeded: bool
    process_name: Annotated[str, Meta(max_length=255)] = ""
    detail: Text = ""


class Goodbye(Message, frozen=True, kw_only=True):
    """POST .../goodbye: the VEN stops in an orderly way."""

    reason: Literal["stop", "restart", "shutdown"] = "stop"


class Deactivate(Message, frozen=True, kw_only=True):
    """POST .../deactivate: the VEN unpairs; its token is void after the reply."""

    firewall_restore: Literal["recommended", "saved", "open", "default", "disable"] = "saved"


class Ticket(Message, frozen=True, kw_only=True):
    """POST .../ticket: a new agent token for who is known by a Kerberos ticket, when the old one is
    refused. It needs no token; the reply is that to POST .../token."""

    ticket: Annotated[str, Meta(min_length=1, max_length=MAX_TICKET_CHARACTERS)]
    """Base64 of a GSSAPI token (RFC 4121) for the service ``HTTP@<host name of the PCE>``."""


class RecoveryCode(Message, frozen=True, kw_only=True):
    """POST .../recovery: a new agent token for who shows the code that an operator was given, when
    the old one is refused. It needs no token; the reply is that to POST .../token."""

    code: Annotated[str, Meta(min_length=1, max_length=256)]


class Reactivate(Message, frozen=True, kw_only=True):
    """POST .../clone: a clone, asked to by the action ``reactivate``, becomes a VEN of its own. The
    reply is that to :class:`Activate`."""

    host: HostFacts
    """With the machine's own ``machine_id``, which is not that of the original."""
    interfaces: Interfaces = []


class TokenRefreshed(Message, frozen=True, kw_only=True):
    """200 reply to POST .../token. The old token works until the new one was used once."""

    agent_token: str


class LostAgent(Message, frozen=True, kw_only=True):
    """POST .../lost: a VEN whose authentication fails for hours asks to be noticed.

    It is the one message that needs no valid token, so the PCE believes nothing in it beyond that
    somebody sent it.
    """

    hostname: Name
    reason: Text = ""


class SupportReportRequest(Message, frozen=True, kw_only=True):
    """POST .../support_reports: where may this report be uploaded?"""

    size_bytes: Annotated[int, Meta(ge=1, le=MAX_SUPPORT_REPORT_BYTES)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    action_id: Annotated[str, Meta(max_length=255)] = ""


class SupportReportUpload(Message, frozen=True, kw_only=True):
    """201 reply: PUT the file to ``url`` with exactly these headers before ``expires_in_s``."""

    url: str
    headers: dict[str, str]
    expires_in_s: int


class SoftwareRelease(Message, frozen=True, kw_only=True):
    """200 reply to GET /ven/v1/software/{release}: the package of a release of the Linux VEN."""

    release: Annotated[str, Meta(max_length=64)]
    package: Text
    """Path of the package at the same PCE: a gzipped tar file."""
    size_bytes: Annotated[int, Meta(ge=1)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Problem(Message, frozen=True, kw_only=True):
    """One entry of an error body; the body is a JSON list of them."""

    token: str
    """Stable name of the error, for programs."""
    message: str
    """What was wrong, where, and what to do, for people."""
    field: str | None = None
    """Path of the offending field, for example ``host.hostname``."""
    supported_versions: list[int] | None = None
