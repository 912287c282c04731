"""A refused token is renewed by a Kerberos ticket: a real KDC, MIT's library on both sides."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from pce.errors import NotAllowed, Unauthenticated
from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.store.kerberos import NoKerberos, TicketRefused, principal_of
from pce.usecases.record_heartbeat import record_heartbeat
from pce.usecases.renew_by_ticket import renew_by_ticket
from tests.fakes import kerberos
from tests.fakes.agent import running
from tests.fakes.api import Api
from tests.fakes.kerberos import REALM, Realm
from tests.fakes.pairing import PairedVen, pair
from tests.fakes.pce import FakePce, fake_pce, wait_until
from tests.fleet.simulator import document
from tools.build_kerberos_layer import CannotBuild, check
from ven.activation import become_ven
from ven.configuration import Server
from ven.edge.files import DataDirectory
from ven.edge.host import host_facts
from ven.edge.kerberos import NoTicket, ticket_for
from ven.edge.simulated import SimulatedKernel
from ven_protocol.messages import Heartbeat, HostFacts, Intervals, Ticket
from ven_protocol.paths import AgentToken

pytestmark = pytest.mark.skipif(not kerberos.found(), reason="krb5-kdc is not installed")

PCE_HOST = "localhost"
WEB, OTHER = f"host/web-1.segment.test@{REALM}", f"host/other.segment.test@{REALM}"


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    with kerberos.realm(tmp_path_factory.mktemp("realm")) as made:
        yield made


@pytest.fixture(scope="module")
def keytab(realm: Realm) -> bytes:
    """The PCE's."""
    return realm.keytab(f"HTTP/{PCE_HOST}").read_bytes()


@pytest.fixture(scope="module", autouse=True)
def host_keytab(realm: Realm) -> Iterator[Path]:
    """The VEN's, found by the environment instead of in /etc."""
    file = realm.keytab(WEB)
    with mock.patch.dict(os.environ, KRB5_CLIENT_KTNAME=str(file)):
        yield file


@pytest.fixture
def ven(api: Api, stores: Wiring, keytab: bytes) -> PairedVen:
    """Set up for Kerberos."""
    paired = pair(api, stores)
    body = {"keytab": base64.b64encode(keytab).decode()}
    api.put(f"{api.org}/settings/kerberos", body)
    api.put(paired.workload_href, {"service_principal_name": WEB})
    return paired


def renew(ven: PairedVen, ticket: bytes, stores: Wiring, org: int | None = None) -> AgentToken:
    message = Ticket(ticket=base64.b64encode(ticket).decode())
    org_id = OrgId(ven.token.org_id if org is None else org)
    renewed = renew_by_ticket(org_id, ven.id, message, stores, 1_800_000_000)
    token = AgentToken.parse(renewed.agent_token)
    assert token is not None
    return token


ACCEPTS = """
import sys
from pathlib import Path
from pce.store.kerberos import principal_of
print(principal_of(sys.stdin.buffer.read(), Path(sys.argv[1]).read_bytes()))
"""


def test_the_pce_needs_no_configuration_of_kerberos(keytab: bytes, tmp_path: Path) -> None:
    """On Lambda there is the library and nothing else: no krb5.conf, no host name of a realm."""
    file = tmp_path / "keytab"
    file.write_bytes(keytab)
    bare = {**os.environ, "KRB5_CONFIG": str(tmp_path / "none"), "PYTHONPATH": ":".join(sys.path)}
    said = subprocess.run(
        [sys.executable, "-c", ACCEPTS, str(file)],
        input=ticket_for(PCE_HOST),
        capture_output=True,
        check=True,
        env=bare,
    )
    assert said.stdout.decode().strip() == WEB


def test_a_layer_that_lambda_cannot_load_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """One without a library that another needs, or for a newer C library."""
    with pytest.raises(CannotBuild, match=r"needs lib\w+\.so\.\d+, which no package here brings"):
        check(library(), set())
    monkeypatch.setattr("tools.build_kerberos_layer.LAMBDA_GLIBC", (2, 1))
    loaded = {f"lib{name}" for name in ("krb5.so.3", "k5crypto.so.3", "com_err.so.2")}
    with pytest.raises(CannotBuild, match="use the packages of Debian 12"):
        check(library(), {*loaded, "libkrb5support.so.0"})


def library() -> Path:
    """This machine's own."""
    return next(Path("/usr/lib").glob("*/libgssapi_krb5.so.2")).resolve()


def test_a_ticket_names_who_made_it_once(realm: Realm, keytab: bytes) -> None:
    """Not a second time, not for another service, not when it is forged."""
    ticket = ticket_for(PCE_HOST)
    assert principal_of(ticket, keytab) == WEB
    with pytest.raises(TicketRefused, match="replay"):
        principal_of(ticket, keytab)
    with pytest.raises(TicketRefused, match="not found in keytab"):
        principal_of(ticket_for(PCE_HOST), realm.keytab("HTTP/elsewhere").read_bytes())
    forged = bytearray(ticket_for(PCE_HOST))
    forged[-40] ^= 1
    for wrong in (bytes(forged), b"", b"junk" * 100):
        with pytest.raises(TicketRefused):
            principal_of(wrong, keytab)
    with pytest.raises(NoKerberos):
        principal_of(ticket_for(PCE_HOST), b"no keytab")


def test_a_host_without_a_keytab_or_a_service_says_why(realm: Realm) -> None:
    """In the library's words."""
    with pytest.raises(NoTicket, match="not found in Kerberos database"):
        ticket_for("nowhere.segment.test")
    missing = str(realm.folder / "missing")
    with mock.patch.dict(os.environ, KRB5_CLIENT_KTNAME=missing), pytest.raises(NoTicket):
        ticket_for(PCE_HOST)


def test_a_ticket_renews_the_token(api: Api, stores: Wiring, ven: PairedVen) -> None:
    """The new one works, the former one is void, one event tells of it."""
    new = renew(ven, ticket_for(PCE_HOST), stores)
    message = Heartbeat(host=HostFacts(hostname="web-1", version="1.0.0"), uptime_seconds=1)
    record_heartbeat(new, message, stores, 1_800_000_001)
    with pytest.raises(Unauthenticated):
        record_heartbeat(ven.token, message, stores, 1_800_000_002)
    assert api.get(f"{api.org}/settings/kerberos")["keytab_set_at"]


def test_only_the_workloads_own_principal_is_believed(
    api: Api, stores: Wiring, ven: PairedVen, realm: Realm
) -> None:
    """Not another host's of the realm; nor where no name is set, or no keytab, or another org's."""
    with (
        mock.patch.dict(os.environ, KRB5_CLIENT_KTNAME=str(realm.keytab(OTHER))),
        pytest.raises(Unauthenticated) as refused,
    ):
        renew(ven, ticket_for(PCE_HOST), stores)
    assert refused.value.problems[0].token == "ticket_of_another"
    with pytest.raises(NotAllowed):
        renew(ven, ticket_for(PCE_HOST), stores, org=ven.token.org_id + 1000)
    api.put(ven.workload_href, {"service_principal_name": None})
    with pytest.raises(NotAllowed):
        renew(ven, ticket_for(PCE_HOST), stores)
    api.put(ven.workload_href, {"service_principal_name": WEB})
    api.put(f"{api.org}/settings/kerberos", {"keytab": None})
    with pytest.raises(NotAllowed):
        renew(ven, ticket_for(PCE_HOST), stores)


@pytest.mark.parametrize("body", [{}, {"keytab": "*"}, {"keytab": "AAAA"}, {"keytab": 5}, []])
def test_what_is_no_keytab_is_406(api: Api, body: object) -> None:
    """And changes nothing."""
    path = f"{api.org}/settings/kerberos"
    assert api.call("PUT", path, body).status == 406
    assert api.get(path)["keytab_set_at"] is None


@pytest.fixture
def pce(tmp_path: Path) -> Iterator[FakePce]:
    with fake_pce(tmp_path) as running_pce:
        running_pce.intervals = Intervals(heartbeat_s=1, flows_s=600)
        running_pce.set_policy(document(2))
        yield running_pce


def test_the_agent_renews_a_refused_token_before_its_next_heartbeat(
    pce: FakePce, tmp_path: Path, keytab: bytes
) -> None:
    """It never comes to minimal; the new token is on disk, for heartbeats and for bolts."""
    data, kernel = DataDirectory(tmp_path / "ven"), SimulatedKernel("web", ["10.0.0.1/24"])
    server = Server.parse(pce.server)
    become_ven(data, kernel, host_facts("web"), server, pce.code, Path(pce.ca_file), kerberos=True)
    pce.keytab = keytab
    with running(data, kernel) as agent:
        wait_until("policy applied", pce.applied)
        former = pce.token
        pce.change_token()
        wait_until("a renewed token", lambda: data.identity().agent_token not in (former, ""))
        wait_until("a heartbeat with it", lambda: not agent.state.heartbeat.misses)
        assert pce.principals == [WEB]
        assert agent.state.heartbeat.mode == "normal"
        for socket in list(pce.sockets):
            socket.close()
        wait_until("a channel with it", lambda: pce.sockets)
    assert len(pce.told("ticket")) == 1


def test_without_a_ticket_it_goes_on_as_without_kerberos(pce: FakePce, tmp_path: Path) -> None:
    """The library's reason is in the log; minimal after three refusals."""
    data, kernel = DataDirectory(tmp_path / "ven"), SimulatedKernel("web", ["10.0.0.1/24"])
    server = Server.parse(pce.server)
    become_ven(data, kernel, host_facts("web"), server, pce.code, Path(pce.ca_file), kerberos=True)
    with (
        mock.patch.dict(os.environ, KRB5_CLIENT_KTNAME=str(tmp_path / "missing")),
        running(data, kernel) as agent,
    ):
        wait_until("policy applied", pce.applied)
        pce.change_token()
        wait_until("minimal", lambda: agent.state.heartbeat.mode == "minimal")
    assert not pce.told("ticket")
