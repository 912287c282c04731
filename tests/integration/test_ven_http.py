"""The VEN's request edge against a PCE with real TLS."""

import gzip
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.pce import FakePce, fake_pce
from tests.fleet.simulator import document
from ven.activation import become_ven
from ven.configuration import Identity, Server
from ven.edge import http
from ven.edge.files import DataDirectory
from ven.edge.host import host_facts
from ven.edge.http import AuthenticationRefused, PceConnection, Refused, Unreachable, trust
from ven.edge.pce import Pce
from ven.edge.simulated import SimulatedKernel
from ven_protocol.messages import Heartbeat, ServicesReport
from ven_protocol.messages import OpenPort as Port
from ven_protocol.policy import PolicyReply, policy_delta, policy_digest


@pytest.fixture
def pce(tmp_path: Path) -> Iterator[FakePce]:
    with fake_pce(tmp_path) as running:
        yield running


@pytest.fixture
def identity(pce: FakePce, tmp_path: Path) -> Identity:
    return become_ven(
        DataDirectory(tmp_path / "ven"),
        SimulatedKernel(),
        host_facts("web"),
        Server.parse(pce.server),
        pce.code,
        Path(pce.ca_file),
    )


@pytest.fixture
def connection(identity: Identity) -> Iterator[PceConnection]:
    server = Server.parse(identity.server)
    made = PceConnection(server, trust(identity.ca_file), identity.agent_token)
    yield made
    made.close()


@pytest.fixture
def api(identity: Identity, connection: PceConnection) -> Pce:
    return Pce(identity, connection)


HEARTBEAT = Heartbeat(host=host_facts("web"), uptime_seconds=1)


def test_one_connection_serves_many_requests(pce: FakePce, api: Pce) -> None:
    """A handshake costs more than a request, so the connection is kept."""
    before = pce.connections
    for _ in range(5):
        api.heartbeat(HEARTBEAT)
    assert pce.connections == before + 1


def test_connection_dropped_by_the_server_is_replaced_unseen(pce: FakePce, api: Pce) -> None:
    """A load balancer that drops an idle connection costs a handshake, not a missed heartbeat."""
    pce.hang_up_after_reply = True
    for _ in range(5):
        api.heartbeat(HEARTBEAT)
    assert len(pce.heartbeats()) == 5, "and none is sent twice"


def test_idle_connection_is_replaced_before_use(
    pce: FakePce, api: Pce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so long without use it has probably been dropped on the way."""
    api.heartbeat(HEARTBEAT)
    before = pce.connections
    monkeypatch.setattr(http, "IDLE_LIMIT_S", 0)
    api.heartbeat(HEARTBEAT)
    assert pce.connections == before + 1


def test_policy_is_asked_for_by_etag(pce: FakePce, api: Pce) -> None:
    """304 is None; a known base gets the delta; an unknown one the document; gzip is inflated."""
    old, new = document(1), document(2)
    first = pce.set_policy(old)
    assert api.policy("") == PolicyReply(etag=first, digest=policy_digest(old), document=old)
    assert api.policy(first) is None
    second = pce.set_policy(new)
    assert api.policy(first) == PolicyReply(
        etag=second, digest=policy_digest(new), delta=policy_delta(old, new)
    )
    asked = pce.told("policy")[-1]
    assert asked.headers["if-none-match"] == f'"{first}"'


def test_large_bodies_are_compressed(
    pce: FakePce, api: Pce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand open ports go as a tenth of their size, and as bytes: API Gateway would hand
    on anything that calls itself JSON as text."""
    sizes = []
    compress = gzip.compress
    monkeypatch.setattr(
        gzip, "compress", lambda body, level: sizes.append(len(body)) or compress(body, level)
    )
    ports = [Port(protocol=6, address="0.0.0.0", port=port) for port in range(1, 2000)]
    report = ServicesReport(uptime_seconds=1, open_ports=ports)
    api.services(report)
    (heard,) = pce.told("services")
    assert heard.headers["content-encoding"] == "gzip"
    assert heard.headers["content-type"] == "application/octet-stream"
    assert int(heard.headers["content-length"]) < sizes[0] / 5
    assert pce.services() == [report]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AuthenticationRefused), (403, Refused), (404, Refused), (406, Refused),
        (413, Refused), (429, Unreachable), (500, Unreachable), (503, Unreachable),
    ],
)  # fmt: skip
def test_statuses_become_errors_by_what_they_mean(
    pce: FakePce, api: Pce, status: int, error: type[Exception]
) -> None:
    """The kind says whether repeating can help; the text says the PCE's reason."""
    pce.say["heartbeat"] = status
    with pytest.raises(error, match="as the test wants it"):
        api.heartbeat(HEARTBEAT)


def test_wrong_reply_is_unreachable(pce: FakePce, api: Pce) -> None:
    """A captive portal answers 200 too; it is not the PCE."""
    pce.say["heartbeat"] = 200
    with pytest.raises(Unreachable, match="not a HeartbeatReply"):
        api.heartbeat(HEARTBEAT)


def test_unknown_authority_is_not_trusted(pce: FakePce, identity: Identity) -> None:
    """Without the CA file, TLS to a private CA fails, and nothing was sent."""
    before = len(pce.heard)
    stranger = PceConnection(Server.parse(identity.server), trust(), identity.agent_token)
    with pytest.raises(Unreachable, match=r"(?i)certificate"):
        Pce(identity, stranger).heartbeat(HEARTBEAT)
    assert len(pce.heard) == before


def test_wrong_host_name_is_not_trusted(tmp_path: Path) -> None:
    """A certificate of the right authority for another name proves nothing."""
    with fake_pce(tmp_path, names=("elsewhere.example",)) as other:
        connection = PceConnection(Server.parse(other.server), trust(other.ca_file))
        with pytest.raises(Unreachable, match=r"(?i)hostname"):
            connection.request("GET", "/")
        assert other.heard == []


def test_trust_ignores_the_environment_when_a_ca_file_is_given(
    pce: FakePce, identity: Identity, api: Pce, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SSL_CERT_FILE may point anywhere."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    api.heartbeat(HEARTBEAT)
    assert trust(identity.ca_file).verify_mode == ssl.CERT_REQUIRED
    assert trust(identity.ca_file).check_hostname


def test_addresses_are_announced_before_connecting(pce: FakePce, identity: Identity) -> None:
    """So that the firewall lets them through first."""
    announced = []
    server, before = Server.parse(identity.server), pce.connections
    connection = PceConnection(
        server,
        trust(identity.ca_file),
        identity.agent_token,
        before_connect=lambda addresses: announced.append((addresses, pce.connections)),
    )
    Pce(identity, connection).heartbeat(HEARTBEAT)
    connection.close()
    ((addresses, connections),) = announced
    assert ("127.0.0.1", server.port) in addresses
    assert connections == before


def test_unreachable_names_the_place(tmp_path: Path) -> None:
    """Refused connections and unknown names are one error that says where."""
    with pytest.raises(Unreachable, match="localhost:1"):
        PceConnection(Server("localhost", 1), trust()).request("GET", "/")
    with pytest.raises(Unreachable, match=r"no-such-host\.invalid"):
        PceConnection(Server("no-such-host.invalid", 1), trust()).request("GET", "/")


def test_unusable_ca_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    """Missing or no certificate at all."""
    with pytest.raises(Unreachable, match=r"missing\.pem"):
        trust(str(tmp_path / "missing.pem"))
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(Unreachable, match=r"empty\.pem"):
        trust(str(tmp_path / "empty.pem"))
