"""A small PCE with real sockets and real TLS, for testing the VEN's edges.

It speaks ``ven_protocol`` and remembers what it was told; it has no rules of its own. Tests say
what it answers and look at what it heard.
"""

import base64
import contextlib
import datetime
import gzip
import json
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websockets

from pce.errors import Invalid
from pce.flows.admission import admit
from pce.store.kerberos import principal_of
from pce.timestamps import rfc3339
from pce_local.certificates import ensure_certificates, server_context
from tests.fleet.simulator import name_of, policy_reply
from ven_protocol.bolts import Bolt
from ven_protocol.compression import inflate
from ven_protocol.flows import FlowBatch, decode_batch
from ven_protocol.messages import (
    Action,
    Activate,
    Activated,
    AppliedReply,
    CompatibilityReport,
    FlowsAccepted,
    Heartbeat,
    HeartbeatReply,
    InterfacesReport,
    Intervals,
    PolicyApplied,
    Problem,
    Reactivate,
    ServicesReport,
    Settings,
    SupportReportRequest,
    SupportReportUpload,
    Tampering,
    Ticket,
    TokenRefreshed,
    UsersReport,
)
from ven_protocol.paths import AgentToken
from ven_protocol.policy import PolicyDocument


@dataclass
class Heard:
    """One request."""

    method: str
    resource: str
    body: bytes
    headers: dict[str, str]


@dataclass
class FakePce:
    """What it knows and what it heard. ``say`` maps a resource to an error status to answer."""

    folder: Path
    url: str = ""
    server: str = ""
    ca_file: str = ""
    bolts_url: str = ""
    code: str = "code-1"
    token: str = field(default_factory=lambda: str(AgentToken.new(1, uuid.uuid4())))
    intervals: Intervals = field(default_factory=lambda: Intervals(heartbeat_s=300, flows_s=600))
    policies: list[PolicyDocument] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    say: dict[str, int] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    batches: dict[int, FlowBatch] = field(default_factory=dict)
    repeated_batches: int = 0
    most_summaries: int = 1_000_000
    """Of a batch; a larger one is answered 413."""
    behind_s: int = 0
    """How far its clock is behind the VEN's."""
    connections: int = 0
    keepalives: int = 0
    sockets: list[ServerConnection] = field(default_factory=list)
    uploaded: bytes = b""
    keytab: bytes = b""
    """By which it believes Kerberos tickets."""
    principals: list[str] = field(default_factory=list)
    """Whose tickets it was shown."""
    busy: int = 0
    """How many of the next activations are told to come again."""
    software: Callable[[str, str], tuple[int, bytes]] | None = None
    """Serves ``/api/...`` and ``/ven/v1/software/...``, given path and query."""
    token_required: bool = False
    """Local commands need a maintenance token."""
    hang_up_after_reply: bool = False
    policy_body: bytes | None = None
    """What stands in for the body of every policy: something on the way altered it."""

    def etag(self) -> str:
        return name_of(self.policies[-1]) if self.policies else ""

    def set_policy(self, document: PolicyDocument, bolt: bool = False) -> str:
        self.policies.append(document)
        if bolt:
            self.bolt(Bolt(type="policy", etag=self.etag()))
        return self.etag()

    def change_token(self) -> None:
        """The VEN's token is another from now on."""
        token = AgentToken.parse(self.token)
        assert token is not None
        self.token = str(AgentToken.new(token.org_id, token.ven_id))

    def bolt(self, bolt: Bolt) -> None:
        for socket in list(self.sockets):
            with contextlib.suppress(ConnectionClosed):
                socket.send(msgspec.json.encode(bolt), text=True)

    def told(self, resource: str) -> list[Heard]:
        return [heard for heard in list(self.heard) if heard.resource == resource]

    def heartbeats(self) -> list[Heartbeat]:
        return [msgspec.json.decode(h.body, type=Heartbeat) for h in self.told("heartbeat")]

    def applied(self) -> list[PolicyApplied]:
        found = self.told("policy/applied")
        return [msgspec.json.decode(heard.body, type=PolicyApplied) for heard in found]

    def tampering(self) -> list[Tampering]:
        return [msgspec.json.decode(h.body, type=Tampering) for h in self.told("tampering")]

    def interfaces(self) -> list[InterfacesReport]:
        found = self.told("interfaces")
        return [msgspec.json.decode(heard.body, type=InterfacesReport) for heard in found]

    def users(self) -> list[UsersReport]:
        found = self.told("users")
        return [msgspec.json.decode(heard.body, type=UsersReport) for heard in found]

    def services(self) -> list[ServicesReport]:
        found = self.told("services")
        return [msgspec.json.decode(heard.body, type=ServicesReport) for heard in found]

    def compatibility(self) -> list[CompatibilityReport]:
        found = self.told("compatibility")
        return [msgspec.json.decode(heard.body, type=CompatibilityReport) for heard in found]

    def settings(self) -> Settings:
        return Settings(
            intervals=self.intervals,
            bolts_url=self.bolts_url,
            maintenance_token_required=self.token_required,
        )

    # Answers: (status, message or None)

    def answer(self, heard: Heard) -> tuple[int, Any]:
        if heard.resource in self.say:
            status = self.say[heard.resource]
            token = "invalid_agent_token" if status == 401 else "no"
            return status, [Problem(token=token, message="as the test wants it")]
        match heard.method, heard.resource:
            case "POST", "activate":
                return self._activate(msgspec.json.decode(heard.body, type=Activate))
            case "PUT", "upload":
                self.uploaded = heard.body
                return 200, None
            case "POST", "ticket":
                shown = base64.b64decode(msgspec.json.decode(heard.body, type=Ticket).ticket)
                self.principals.append(principal_of(shown, self.keytab))
                self.change_token()
                return 200, TokenRefreshed(agent_token=self.token)
        if heard.headers.get("authorization") != f"Bearer {self.token}":
            return 401, [Problem(token="invalid_agent_token", message="who are you?")]
        match heard.method, heard.resource:
            case "POST", "heartbeat":
                return 200, self._reply(msgspec.json.decode(heard.body, type=Heartbeat))
            case "POST", "flows":
                return self._flows(decode_batch(heard.body))
            case "GET", "policy":
                if self.policy_body is not None:
                    return 200, msgspec.Raw(self.policy_body)
                return self._policy(heard.headers.get("if-none-match", "").strip('"'))
            case "POST", "policy/applied":
                return 200, AppliedReply(etag=self.etag())
            case "POST", "clone":
                msgspec.json.decode(heard.body, type=Reactivate)
                self.token = str(AgentToken.new(1, uuid.uuid4()))
                return 201, self._activated()
            case "POST", "support_reports":
                msgspec.json.decode(heard.body, type=SupportReportRequest)
                where = SupportReportUpload(
                    url=f"{self.url}/upload", headers={"x-proof": "1"}, expires_in_s=60
                )
                return 201, where
            case _:
                return 204, None

    def _activate(self, message: Activate) -> tuple[int, Any]:
        if self.busy:
            self.busy -= 1
            return 409, [Problem(token="activation_busy", message="repeat in a second")]
        if message.activation_code != self.code:
            return 401, [Problem(token="activation_code_unknown", message="no such code")]
        return 201, self._activated()

    def _activated(self) -> Activated:
        token = AgentToken.parse(self.token)
        assert token is not None
        return Activated(
            org_id=token.org_id,
            ven_href=f"/orgs/1/vens/{token.ven_id}",
            workload_href=f"/orgs/1/workloads/{token.ven_id}",
            agent_token=self.token,
            settings=self.settings(),
            etag=self.etag(),
        )

    def _reply(self, message: Heartbeat) -> HeartbeatReply:
        self.actions = [a for a in self.actions if a.id not in message.done_actions]
        return HeartbeatReply(
            etag=self.etag(),
            server_time=rfc3339(int(time.time()) - self.behind_s),
            next_heartbeat_s=self.intervals.heartbeat_s,
            actions=self.actions,
            settings=self.settings(),
        )

    def _flows(self, batch: FlowBatch) -> tuple[int, Any]:
        try:
            admit(batch, int(time.time()) - self.behind_s)
        except Invalid as refusal:
            return 406, [Problem(token=p.token, message=p.message) for p in refusal.problems]
        if len(batch) > self.most_summaries:
            return 413, [Problem(token="body_too_large", message="as the test wants it")]
        duplicate = batch.seq in self.batches
        self.repeated_batches += duplicate
        self.batches[batch.seq] = batch
        taken = FlowsAccepted(
            accepted=0 if duplicate else len(batch),
            duplicate=duplicate,
            heartbeat=self._reply(batch.heartbeat),
        )
        return 200, taken

    def _policy(self, etag: str) -> tuple[int, Any]:
        reply = policy_reply(self.policies, etag)
        return (200, reply) if reply else (304, None)


@contextlib.contextmanager
def fake_pce(
    folder: Path, port: int = 0, names: tuple[str, ...] = ("localhost",)
) -> Iterator[FakePce]:
    """A PCE that listens on localhost as long as the context; its files lie in ``folder``."""
    pce = FakePce(folder)
    now = datetime.datetime.now(datetime.UTC)
    pce.ca_file = str(ensure_certificates(folder / "tls", names, now))
    with _http(pce, port), _bolts(pce):
        yield pce


@contextlib.contextmanager
def _http(pce: FakePce, port: int) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            pce.connections += 1
            super().setup()

        def handle_any(self) -> None:
            if pce.software is not None and self.path.startswith(("/api/", "/ven/v1/software/")):
                path, _, query = self.path.partition("?")
                status, content = pce.software(path, query)
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return
            length = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            resource = self.path.partition("?")[0]
            resource = "/".join(resource.split("/")[7:]) or resource.rsplit("/", 1)[-1]
            body = self.rfile.read(length)
            body = body if resource == "upload" else inflate(body)
            heard = Heard(self.command, resource, body, headers)
            status, message = pce.answer(heard)
            pce.heard.append(heard)
            self.reply(status, message)
            if pce.hang_up_after_reply:
                self.close_connection = True

        def reply(self, status: int, message: Any) -> None:
            content = b"" if message is None else msgspec.json.encode(message)
            self.send_response(status)
            if content:
                self.send_header("content-type", "application/json")
            if "gzip" in self.headers.get("accept-encoding", "") and len(content) > 200:
                content = gzip.compress(content)
                self.send_header("content-encoding", "gzip")
            if status != 304:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = handle_any

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *args: object) -> None:
            """A client that hangs up is part of the tests."""

    server = Server(("127.0.0.1", port), Handler)
    context = server_context(pce.folder / "tls")
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    pce.server = f"localhost:{server.server_port}"
    pce.url = f"https://{pce.server}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def _bolts(pce: FakePce) -> Iterator[None]:
    def check(connection: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Authorization") == f"Bearer {pce.token}" and "bolts" not in pce.say:
            return None
        return Response(401, "no", Headers())

    def talk(connection: ServerConnection) -> None:
        pce.sockets.append(connection)
        try:
            for message in connection:
                pce.keepalives += json.loads(message) == {"type": "keepalive"}
        except ConnectionClosed:
            pass
        finally:
            pce.sockets.remove(connection)

    context: ssl.SSLContext = server_context(pce.folder / "tls")
    with serve_websockets(
        talk, "127.0.0.1", 0, ssl=context, process_request=check, compression=None
    ) as server:
        pce.bolts_url = f"wss://localhost:{server.socket.getsockname()[1]}/bolts"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            for connection in list(pce.sockets):
                connection.close()
            server.shutdown()
            thread.join()


def wait_until(what: str, look: Any, timeout_s: float = 15) -> Any:
    """Look until it is true; what was seen last when the deadline passes."""
    deadline = time.monotonic() + timeout_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what} was not seen in {timeout_s} s"
        time.sleep(0.01)
    return seen
