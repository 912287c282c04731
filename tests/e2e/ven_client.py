"""A VEN reduced to its words: speaks the published VEN API over real HTTPS and WebSocket."""

import asyncio
import gzip
import json
import ssl
import time
import uuid
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import websockets

from demo.operator import Operator, Reply, RequestFailed
from ven_protocol.flows import FlowSummary, encode_batch
from ven_protocol.messages import Activate, Activated, Heartbeat, HostFacts, Interface
from ven_protocol.paths import ACTIVATE, ven_path


@dataclass
class VenClient:
    """One paired VEN. ``address`` is the host's only address."""

    operator: Operator
    activated: Activated
    host: HostFacts
    address: str
    applied_etag: str = ""
    started: float = field(default_factory=time.time)

    @classmethod
    def pair(cls, operator: Operator, address: str, code: str = "", **wish: Any) -> "VenClient":
        """Activate a new host. Raises :class:`RequestFailed` unless the PCE answers 201."""
        host = HostFacts(hostname=f"host-{uuid.uuid4().hex[:8]}", version="1.0.0", os_id="debian")
        body = Activate(
            activation_code=code or operator.credentials.activation_code,
            host=host,
            interfaces=[Interface(name="eth0", address=address, cidr_block=24, link_state="up")],
            **wish,
        )
        reply = activate(operator, body)
        if reply.status != 201:
            raise RequestFailed(f"activate: {reply.status} {reply.body[:300]!r}")
        return cls(operator, msgspec.json.decode(reply.body, type=Activated), host, address)

    @property
    def ven_id(self) -> uuid.UUID:
        return uuid.UUID(self.activated.ven_href.rsplit("/", 1)[-1])

    @property
    def workload_href(self) -> str:
        return self.activated.workload_href

    def call(
        self,
        method: str,
        resource: str,
        body: Any = None,
        expect: int | None = None,
        headers: dict[str, str] | None = None,
        token: str = "",
    ) -> Reply:
        """One request to a resource of this VEN; ``body`` is a message or raw bytes."""
        sent = {"authorization": f"Bearer {token or self.activated.agent_token}", **(headers or {})}
        data = body
        if body is not None and not isinstance(body, bytes):
            data = body if isinstance(body, str) else msgspec.json.encode(body)
            sent.setdefault("content-type", "application/json")
        path = ven_path(self.activated.org_id, self.ven_id, resource)
        reply = self.operator.send(method, path, data, sent)
        if expect is not None and reply.status != expect:
            raise RequestFailed(f"{method} {path}: {reply.status} {reply.body[:300]!r}")
        return reply

    def heartbeat(self, **more: Any) -> Any:
        """Send a heartbeat; the reply's JSON."""
        return self.call("POST", "heartbeat", self.heartbeat_message(**more), expect=200).json

    def heartbeat_message(self, **more: Any) -> Heartbeat:
        return Heartbeat(
            host=more.pop("host", self.host),
            uptime_seconds=int(time.time() - self.started),
            applied_etag=self.applied_etag,
            **more,
        )

    def policy(self, held: str = "") -> Reply:
        """Fetch the policy, as a VEN that holds ``held``."""
        return self.call("GET", "policy", headers={"if-none-match": f'"{held}"'} if held else None)

    def post_flows(self, seq: int, flows: list[FlowSummary], end: int = 0) -> Reply:
        """Post one window of flow summaries as batch ``seq``."""
        end = end or int(time.time())
        body = encode_batch(seq, end - 600, end, self.heartbeat_message(), flows)
        headers = {"content-type": "application/octet-stream"}
        return self.call("POST", "flows", gzip.compress(body), headers=headers)

    def bolts(self, token: str = "") -> AbstractAsyncContextManager[Any]:
        """The bolt channel, to be entered with ``async with``."""
        authorization = f"Bearer {token or self.activated.agent_token}"
        tls = ssl.create_default_context(cafile=self.operator.credentials.ca_file or None)
        url = self.activated.settings.bolts_url
        return websockets.connect(
            url,
            ssl=tls if url.startswith("wss:") else None,
            additional_headers={"Authorization": authorization},
            proxy=None,
        )


def activate(operator: Operator, body: Activate | bytes) -> Reply:
    """POST the activation, whatever its body."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return operator.send("POST", ACTIVATE, data, {"content-type": "application/json"})


def problem_token(reply: Reply) -> str:
    """The token of the first problem of an error reply."""
    return str(reply.json[0]["token"])


async def next_bolt(connection: Any, kind: str, timeout_s: float = 20) -> Any:
    """The next bolt of a type."""
    async with asyncio.timeout(timeout_s):
        while True:
            bolt = json.loads(await connection.recv())
            if bolt["type"] == kind:
                return bolt
