"""The VEN API's requests, typed, over one connection to the PCE."""

import base64
from typing import TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from ven.configuration import Identity
from ven.edge.http import Damaged, PceConnection, Response
from ven_protocol.messages import (
    Activate,
    Activated,
    AppliedReply,
    CompatibilityReport,
    ContainerPolicies,
    ContainerWorkloadsReport,
    Deactivate,
    FlowsAccepted,
    Goodbye,
    Heartbeat,
    HeartbeatReply,
    InterfacesReport,
    LostAgent,
    PolicyApplied,
    Reactivate,
    RecoveryCode,
    ServicesReport,
    SoftwareRelease,
    SupportReportRequest,
    SupportReportUpload,
    Tampering,
    Ticket,
    TokenRefreshed,
    UsersReport,
)
from ven_protocol.paths import ACTIVATE, SOFTWARE, AgentToken, ven_path
from ven_protocol.policy import PolicyReply

_Reply = TypeVar("_Reply")


class Pce:
    """The VEN API's requests, typed. Each raises what :meth:`PceConnection.request` raises, and
    :class:`Damaged` for a reply that is not what the protocol says."""

    def __init__(self, identity: Identity, connection: PceConnection) -> None:
        self._identity = identity
        self._connection = connection

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()

    def heartbeat(self, message: Heartbeat) -> HeartbeatReply:
        """POST heartbeat."""
        return self._post("heartbeat", message, HeartbeatReply)

    def flows(self, batch: bytes) -> FlowsAccepted:
        """POST flows: a batch as :func:`ven_protocol.flows.encode_batch` makes it."""
        response = self._connection.request(
            "POST", self._identity.path("flows"), batch, content_type="application/octet-stream"
        )
        return _decode(response, FlowsAccepted)

    def policy(self, etag: str) -> PolicyReply | None:
        """GET policy; None when the policy named ``etag`` is still the one to hold."""
        headers = {"if-none-match": f'"{etag}"'} if etag else {}
        response = self._connection.request("GET", self._identity.path("policy"), headers=headers)
        return None if response.status == 304 else _decode(response, PolicyReply)

    def policy_applied(self, message: PolicyApplied) -> AppliedReply:
        """POST policy/applied."""
        return self._post("policy/applied", message, AppliedReply)

    def interfaces(self, message: InterfacesReport) -> None:
        """PUT interfaces."""
        self._tell("PUT", "interfaces", message)

    def services(self, message: ServicesReport) -> None:
        """PUT services."""
        self._tell("PUT", "services", message)

    def users(self, message: UsersReport) -> None:
        """PUT users."""
        self._tell("PUT", "users", message)

    def compatibility(self, message: CompatibilityReport) -> None:
        """PUT compatibility."""
        self._tell("PUT", "compatibility", message)

    def container_workloads(self, message: ContainerWorkloadsReport) -> None:
        """PUT container_workloads."""
        self._tell("PUT", "container_workloads", message)

    def container_policies(self) -> ContainerPolicies:
        """GET container_workloads: what each of them should hold."""
        path = self._identity.path("container_workloads")
        return _decode(self._connection.request("GET", path), ContainerPolicies)

    def container_policy(self, container_id: str) -> PolicyReply:
        """GET policy of a container workload, whole."""
        path, headers = self._of_container(container_id, "policy")
        return _decode(self._connection.request("GET", path, headers=headers), PolicyReply)

    def container_policy_applied(self, container_id: str, message: PolicyApplied) -> None:
        """POST policy/applied of a container workload."""
        path, headers = self._of_container(container_id, "policy/applied")
        self._connection.request("POST", path, msgspec.json.encode(message), headers=headers)

    def _of_container(self, container_id: str, resource: str) -> tuple[str, dict[str, str]]:
        """Path of a resource of one of this host's container workloads, and the header by which
        the host speaks for it: by the token that it has now."""
        own = AgentToken.parse(self._connection.token)
        if own is None:
            raise ValueError("the agent token is damaged: activate this VEN again")
        token = own.of_container(container_id)
        path = ven_path(token.org_id, token.ven_id, resource)
        return path, {"authorization": f"Bearer {token}"}

    def tampering(self, message: Tampering) -> None:
        """POST tampering."""
        self._tell("POST", "tampering", message)

    def lost(self, message: LostAgent) -> None:
        """POST lost."""
        self._tell("POST", "lost", message)

    def goodbye(self, message: Goodbye) -> None:
        """POST goodbye."""
        self._tell("POST", "goodbye", message)

    def suspend(self) -> None:
        """POST suspend."""
        self._tell("POST", "suspend", None)

    def unsuspend(self) -> None:
        """POST unsuspend."""
        self._tell("POST", "unsuspend", None)

    def deactivate(self, message: Deactivate) -> None:
        """POST deactivate; the token is void afterwards."""
        self._tell("POST", "deactivate", message)

    def renew(self, ticket: bytes) -> str:
        """POST ticket: a new agent token."""
        message = Ticket(ticket=base64.b64encode(ticket).decode())
        return self._post("ticket", message, TokenRefreshed).agent_token

    def recover(self, code: str) -> str:
        """POST recovery: a new agent token."""
        return self._post("recovery", RecoveryCode(code=code), TokenRefreshed).agent_token

    def reactivate(self, message: Reactivate) -> Activated:
        """POST clone: this machine, a copy of the VEN's, becomes a VEN of its own."""
        return self._post("clone", message, Activated)

    def support_report(self, message: SupportReportRequest) -> SupportReportUpload:
        """POST support_reports: where to upload."""
        return self._post("support_reports", message, SupportReportUpload)

    def software(self, release: str) -> SoftwareRelease:
        """GET software/{release}: what the PCE says of a release."""
        path = SOFTWARE.format(release=quote(release, safe=""))
        return _decode(self._connection.request("GET", path), SoftwareRelease)

    def package(self, path: str) -> bytes:
        """GET a release's package, as it is."""
        return self._connection.request("GET", path, inflated=False).body

    def _post(self, resource: str, message: Struct, kind: type[_Reply]) -> _Reply:
        body = msgspec.json.encode(message)
        return _decode(self._connection.request("POST", self._identity.path(resource), body), kind)

    def _tell(self, method: str, resource: str, message: Struct | None) -> None:
        body = b"{}" if message is None else msgspec.json.encode(message)
        self._connection.request(method, self._identity.path(resource), body)


def activate(connection: PceConnection, message: Activate) -> Activated:
    """Exchange the activation code for an identity. Raises as :meth:`PceConnection.request`."""
    return _decode(connection.request("POST", ACTIVATE, msgspec.json.encode(message)), Activated)


def _decode(response: Response, kind: type[_Reply]) -> _Reply:
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"the PCE's reply is not a {kind.__name__}: {error}") from error
