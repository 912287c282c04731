"""What a person with an API key does: calls the management API over verified HTTPS."""

import base64
import http.client
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

REQUEST_TIMEOUT_S = 30
"""API Gateway gives up after 30 seconds too."""

_Value = TypeVar("_Value")


class RequestFailed(Exception):
    """The API answered with another status than expected; the text shows what it said."""


@dataclass(frozen=True)
class Reply:
    """One answer of the API."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Credentials:
    """What ``credentials.json`` holds."""

    url: str
    bolts_url: str
    ca_file: str
    org_id: int
    api_key: str
    api_secret: str
    activation_code: str

    @classmethod
    def read(cls, path: Path) -> "Credentials":
        document = json.loads(path.read_text())
        return cls(**{name: document[name] for name in cls.__dataclass_fields__})

    @property
    def server(self) -> str:
        """HOST:PORT, as the pairing script and the VEN's command line take it."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or 443}"


class Operator:
    """A caller of the management API. Every request is a connection of its own, as curl's are."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.org = f"/orgs/{credentials.org_id}"
        self._tls = ssl.create_default_context(cafile=credentials.ca_file or None)
        secret = f"{credentials.api_key}:{credentials.api_secret}"
        self._authorization = "Basic " + base64.b64encode(secret.encode()).decode()

    def request(
        self,
        method: str,
        href: str,
        body: Any = None,
        expect: int | tuple[int, ...] | None = None,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Reply:
        """Call ``/api/v2`` + href. Raises :class:`RequestFailed` when ``expect`` is not met."""
        path = f"/api/v2{href}" + (f"?{urlencode(query)}" if query else "")
        sent = {"authorization": self._authorization, "accept": "application/json"}
        sent |= {} if body is None else {"content-type": "application/json"}
        data = None if body is None else json.dumps(body)
        reply = self.send(method, path, data, sent | (headers or {}))
        expected = (expect,) if isinstance(expect, int) else expect
        if expected and reply.status not in expected:
            raise RequestFailed(
                f"{method} {path}: {reply.status} instead of {expected}: {reply.body[:500]!r}"
            )
        return reply

    def send(
        self, method: str, path: str, body: str | bytes | None, headers: dict[str, str]
    ) -> Reply:
        """One HTTP request to the PCE, whatever the path."""
        address = urlsplit(self.credentials.url)
        if address.hostname is None:
            raise ValueError(f"no host name in {self.credentials.url}")
        connection = http.client.HTTPSConnection(
            address.hostname, address.port or 443, timeout=REQUEST_TIMEOUT_S, context=self._tls
        )
        try:
            connection.request(method, address.path + path, body, headers)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, names, answer.read())
        finally:
            connection.close()

    def get(self, href: str, **query: Any) -> Any:
        return self.request("GET", href, expect=200, **query).json

    def create(self, href: str, body: Any) -> Any:
        """POST; the object that was made."""
        return self.request("POST", href, body, expect=(201, 202)).json

    def update(self, href: str, body: Any) -> None:
        self.request("PUT", href, body, expect=204)

    def delete(self, href: str) -> None:
        self.request("DELETE", href, expect=204)

    def label(self, key: str, value: str) -> str:
        """Href of a label, made if it is missing."""
        reply = self.request("POST", f"{self.org}/labels", {"key": key, "value": value})
        if reply.status == 201:
            return str(reply.json["href"])
        found = self.get(f"{self.org}/labels", key=key, value=value)
        return next(str(label["href"]) for label in found if label["value"] == value)

    def workload(self, hostname: str) -> Any:
        """The managed workload with this host name; None while there is none."""
        found = self.get(f"{self.org}/workloads", hostname=hostname)
        return next((w for w in found if w["hostname"] == hostname), None)

    def provision(self, description: str) -> Any:
        """Provision everything that is pending."""
        body = {"update_description": description}
        return self.create(f"{self.org}/sec_policy", body)

    def events(self, event_type: str) -> list[Any]:
        """The newest events of a type."""
        found: list[Any] = self.get(f"{self.org}/events", event_type=event_type)
        return found

    def traffic(self, **query: Any) -> list[Any]:
        """Run a traffic query to its end and download what it found."""
        body = {
            "query_name": "",
            "start_date": "2020-01-01T00:00:00Z",
            "end_date": "2100-01-01T00:00:00Z",
            "sources": {"include": [], "exclude": []},
            "destinations": {"include": [], "exclude": []},
            "services": {"include": [], "exclude": []},
            "policy_decisions": [],
            "max_results": 10_000,
            **query,
        }
        href = self.create(f"{self.org}/traffic_flows/async_queries", body)["href"]
        finished = wait_for(
            "the traffic query to complete",
            lambda: self.get(href),
            lambda found: found["status"] in ("completed", "failed"),
        )
        if finished["status"] != "completed":
            raise RequestFailed(f"traffic query {href} ended as {finished['status']}")
        records: list[Any] = self.get(finished["result"])
        return records


def wait_for(
    what: str,
    look: Callable[[], _Value],
    good: Callable[[_Value], bool] = bool,
    timeout_s: float = 30,
    every_s: float = 0.05,
) -> _Value:
    """Look until it is good; raises TimeoutError with what was seen last."""
    deadline = time.monotonic() + timeout_s
    while True:
        seen = look()
        if good(seen):
            return seen
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}; saw {str(seen)[:300]}")
        time.sleep(every_s)
