"""One TLS connection to a PCE, on which a client's requests are written byte for byte."""

import base64
import gzip
import json
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from demo.operator import Credentials, wait_for

TIMEOUT_S = 30
"""As the gateway's own."""


@dataclass(frozen=True)
class Answer:
    """What came back; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def text(self) -> str:
        """The body, inflated if it is compressed."""
        packed = self.headers.get("content-encoding") == "gzip"
        return (gzip.decompress(self.raw) if packed else self.raw).decode()

    @property
    def json(self) -> Any:
        """The body of an answer whose ``Content-Type`` is exactly what clients compare with."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.text)


class Wire:
    """Sends requests as one client writes them. ``headers``: the lines of each method, in the
    client's order and spelling, where ``{host}``, ``{authorization}`` and ``{length}`` are filled
    in and ``{more}`` is the place of the lines that one request has beyond the others.

    What every client relies on is checked of each answer (`Wire._check`).
    """

    def __init__(self, credentials: Credentials, headers: Mapping[str, str]) -> None:
        self.credentials = credentials
        self.headers = headers
        self.org = f"/orgs/{credentials.org_id}"
        self.api = f"/api/v2{self.org}"
        address = urlsplit(credentials.url)
        self._address = (str(address.hostname), address.port or 443)
        self._tls = ssl.create_default_context(cafile=credentials.ca_file or None)
        self.log_in(credentials.api_key, credentials.api_secret)

    def log_in(self, username: str, password: str) -> None:
        """What ``{authorization}`` stands for from now on."""
        packed = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.authorization = f"Basic {packed}"

    def send(self, method: str, target: str, body: str | None = None, more: str = "") -> Answer:
        """One request on a connection of its own; ``body`` as it is sent."""
        content = (body or "").encode()
        lines = self.headers[method if body is None else f"{method} with a body"]
        filled = lines.format(
            host=":".join(map(str, self._address)),
            authorization=self.authorization,
            length=len(content),
            more=more,
        )
        head = "\r\n".join([f"{method} {target} HTTP/1.1", *filled.split("\n")])
        head = re.sub("(\r\n)+", "\r\n", head) + "\r\n\r\n"
        with (
            socket.create_connection(self._address, TIMEOUT_S) as connection,
            self._tls.wrap_socket(connection, server_hostname=self._address[0]) as secured,
        ):
            secured.sendall(head.encode())
            if content:
                secured.sendall(content)
            answer = self._read(secured, method)
        self._check(method, head, answer)
        return answer

    @staticmethod
    def _read(connection: ssl.SSLSocket, method: str) -> Answer:
        response = HTTPResponse(connection, method=method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())

    @staticmethod
    def _check(method: str, head: str, answer: Answer) -> None:
        """Nothing is compressed that the client did not offer to inflate; 204 and accepted reads
        are empty; an accepted read says where its job is, by an href, and when to ask for it, in
        whole seconds; errors are lists of a token and a message."""
        if "content-encoding" in answer.headers:
            assert answer.headers["content-encoding"] == "gzip"
            assert re.search("^Accept-Encoding: .*gzip", head, re.MULTILINE)
        if answer.status == 204:
            assert answer.raw == b""
        if answer.status == 202 and method == "GET":
            assert answer.raw == b""
            assert re.fullmatch(r"/orgs/\d+/jobs/[0-9a-f-]{36}", answer.headers["location"])
            assert re.fullmatch(r"\d+", answer.headers["retry-after"])
        if answer.status >= 400:
            assert answer.json and all(one.keys() >= {"token", "message"} for one in answer.json)

    def ended(self, location: str, word: str, of: str = "status") -> Any:
        """What lies behind an href, asked for until an attribute is ``word``."""
        return wait_for(
            f"{of} of {location} to be {word}",
            lambda: self.send("GET", f"/api/v2{location}").json,
            lambda document: document[of] == word,
        )

    def as_job(self, target: str, more: str = "Prefer: respond-async") -> Any:
        """The result of an accepted read: 202, the job until it is done, its file."""
        accepted = self.send("GET", target, more=more)
        assert accepted.status == 202
        job = self.ended(accepted.headers["location"], "done")
        return self.send("GET", f"/api/v2{job['result']['href']}").json
