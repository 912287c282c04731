"""A client of the management API that calls the real handler in this process."""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from functions.api.handler import handler
from functions.org_create.handler import handler as org_create_handler


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        """The body, inflated when it is compressed."""
        packed = self.headers.get("content-encoding") == "gzip"
        return json.loads(gzip.decompress(self.raw) if packed else self.raw)

    @property
    def tokens(self) -> list[str]:
        """The tokens of an error list."""
        return [problem["token"] for problem in self.json]


class Api:
    """An org's API key, and calls with it. Paths are those behind ``/api/v2``."""

    def __init__(self, created: Mapping[str, Any]) -> None:
        self.created = created
        self.org = f"/orgs/{created['org_id']}"
        self.draft = f"{self.org}/sec_policy/draft"
        self.active = f"{self.org}/sec_policy/active"
        self.auth = basic(created["api_key"], created["api_secret"])

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        **headers: str,
    ) -> Answer:
        """One request; a ``body`` of bytes is sent as it is."""
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        sent = {"authorization": self.auth, **{k.replace("_", "-"): v for k, v in headers.items()}}
        reply = handler(
            {
                "requestContext": {"http": {"method": method, "sourceIp": "192.0.2.1"}},
                "rawPath": f"/api/v2{path}",
                "rawQueryString": urlencode(query or {}),
                "headers": {name: value for name, value in sent.items() if value},
                "body": base64.b64encode(raw).decode(),
                "isBase64Encoded": True,
            },
            None,
        )
        text = reply["body"]
        raw_answer = base64.b64decode(text) if reply.get("isBase64Encoded") else text.encode()
        return Answer(reply["statusCode"], reply["headers"], raw_answer)

    def get(self, path: str, **query: str) -> Any:
        """The body of a GET that succeeds."""
        return self._body(self.call("GET", path, query=query), 200)

    def post(self, path: str, body: Any = None, status: int = 201) -> Any:
        """The body of a POST that succeeds."""
        return self._body(self.call("POST", path, body if body is not None else {}), status)

    def put(self, path: str, body: Any, status: int = 204) -> Any:
        """The body, if any, of a PUT that succeeds."""
        return self._body(self.call("PUT", path, body), status)

    def delete(self, path: str) -> None:
        """A DELETE that succeeds."""
        self._body(self.call("DELETE", path), 204)

    def provision(self, *hrefs: str) -> Any:
        """Provision these drafts, or everything that is pending."""
        subset: dict[str, list[dict[str, str]]] = {}
        for href in hrefs:
            subset.setdefault(href.split("/")[-2], []).append({"href": href})
        return self.post(f"{self.org}/sec_policy", {"change_subset": subset} if hrefs else {})

    def events(self, event_type: str) -> Iterator[dict[str, Any]]:
        """Audit events of a type, newest first."""
        yield from self.get(f"{self.org}/events", event_type=event_type)

    @staticmethod
    def _body(answer: Answer, status: int) -> Any:
        assert answer.status == status, (answer.status, answer.raw)
        return answer.json if answer.raw else None


def new_org(name: str = "Acme") -> Api:
    """A new org, and a client with its first API key."""
    return Api(org_create_handler({"name": name}, None))


def basic(username: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
