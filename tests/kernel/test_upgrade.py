"""An upgrade on a real kernel: killed at random instants, the policy holds all the time."""

import base64
import hashlib
import io
import os
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from functions.ven_software.handler import handler
from infra.build_ven_package import RELEASE, build
from tests.fakes.pce import FakePce, wait_until
from tests.kernel.namespaces import Network
from tests.kernel.protected_host import allow, policy
from tests.kernel.real_ven import RealVen, pce_on
from tests.kernel.steady_traffic import PORTS, SteadyTraffic, Stream
from ven.installation import Installation, environment_name
from ven_protocol.messages import Action
from ven_protocol.policy import Service

KILLS = int(os.environ.get("KERNEL_KILLS", "2"))
"""Upgrades that are killed; the last of all goes through."""
SEED = int(os.environ.get("KERNEL_SEED", "1"))
FORMER = "25.1.9"
LATEST_S = 2.5
"""An upgrade takes this long on a quiet machine."""

pytestmark = pytest.mark.timeout(120 + 10 * KILLS)


def former_package() -> bytes:
    """The VEN of this repository, as it would have been one release before."""
    buffer = io.BytesIO()
    with (
        tarfile.open(build()) as archive,
        tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.USTAR_FORMAT) as former,
    ):
        for member in archive:
            content = archive.extractfile(member).read()  # type: ignore[union-attr]
            if member.name == "ven/src/ven/configuration.py":
                content = content.replace(f'"{RELEASE}"'.encode(), f'"{FORMER}"'.encode())
                member.size = len(content)
            former.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def installed(prefix: Path, data_dir: Path) -> Installation:
    """The former release, as the pairing script installs it, with the tests' own Python."""
    package = former_package()
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        requirements = archive.extractfile("ven/requirements.txt").read()  # type: ignore[union-attr]
    python = prefix / "venvs" / environment_name(requirements, sys.executable) / "bin"
    python.mkdir(parents=True)
    (python / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (python / "python").chmod(0o755)
    where = Installation(prefix)
    sha256 = hashlib.sha256(package).hexdigest()
    where.go_over_to(where.install(package, sha256, FORMER, sys.executable), on_trial=False)
    where.write_launcher(data_dir)
    return where


def serve(path: str, query: str) -> tuple[int, bytes]:
    """The function that serves the software."""
    words = path.split("/")
    parameters = {"release": words[-1]} if words[1] == "ven" else {"version": words[2]}
    reply: dict[str, Any] = handler(
        {
            "rawPath": path,
            "rawQueryString": query,
            "headers": {},
            "pathParameters": parameters,
            "requestContext": {"http": {"method": "GET", "path": path}},
        },
        None,
    )
    body = reply["body"]
    content = base64.b64decode(body) if reply.get("isBase64Encoded") else body.encode()
    return reply["statusCode"], content


@pytest.fixture
def network() -> Iterator[Network]:
    with Network("a", "b") as found:
        yield found


def versions(pce: FakePce) -> list[str]:
    return [heartbeat.host.version for heartbeat in pce.heartbeats()]


def test_upgraded_while_killed(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 at random instants between the request and the new release's first heartbeat, and a
    start after each: one release or the other runs, the policy is in force at every packet, no
    connection is cut, and in the end the new release is there and the upgrade reported done."""
    monkeypatch.setenv("PCE_VEN_PACKAGES", str(build().parent))
    random = Random(SEED)
    tcp = Stream("tcp", network["b"], network["a"], 4)
    udp = Stream("udp", network["b"], network["a"], 4)
    with pce_on(network["a"], tmp_path) as pce:
        pce.software = serve
        where = installed(tmp_path / "opt", tmp_path / "ven")
        ven = RealVen(network["a"], tmp_path, pce, [str(where.launcher)])
        pce.set_policy(
            policy(
                "full",
                {"b": [network["b"].ipv4]},
                allow(["b"], Service(proto=6, port=PORTS["tcp"])),
            )
        )
        try:
            ven.start()
            ven.await_policy()
            with SteadyTraffic([tcp, udp]) as traffic:
                pce.actions = [Action(id="u", type="upgrade", params={"release": RELEASE})]
                for _ in range(KILLS):
                    time.sleep(random.random() * LATEST_S)  # the instant
                    ven.kill()
                    assert where.current().startswith((FORMER, RELEASE))
                    ven.start()
                wait_until("the new release", lambda: not pce.actions, 60)
                flows = traffic.finish()
            assert versions(pce)[0] == FORMER and versions(pce)[-1] == RELEASE
            assert not any(heartbeat.failed_actions for heartbeat in pce.heartbeats())
            wait_until("the end of the trial", lambda: where.trial() is None)
        finally:
            ven.close()
    sent = {kind: [m for f in flows if f.stream.kind == kind for m in f.messages] for kind in
            ("tcp", "udp")}  # fmt: skip
    assert len(sent["udp"]) > 100 and not [m for m in sent["udp"] if m.arrived]
    assert len(sent["tcp"]) > 100 and not [f for f in flows if f.cut]


def test_a_release_that_cannot_reach_its_pce_is_given_up(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets no answer three times: the former one comes back by itself, enforces, and says what
    happened; the policy was never away."""
    monkeypatch.setenv("PCE_VEN_PACKAGES", str(build().parent))
    with pce_on(network["a"], tmp_path) as pce:
        pce.software = serve
        where = installed(tmp_path / "opt", tmp_path / "ven")
        ven = RealVen(network["a"], tmp_path, pce, [str(where.launcher)])
        pce.set_policy(policy("full", {}))
        try:
            ven.start()
            ven.await_policy()
            pid, table = ven.pid, ven.table()
            pce.actions = [Action(id="u", type="upgrade", params={"release": RELEASE})]
            wait_until("the new release", lambda: where.current().startswith(RELEASE), 60)
            pce.say = {"heartbeat": 503, "flows": 503}
            wait_until("the former one", lambda: where.current().startswith(FORMER), 60)
            assert ven.table() == table
            pce.say = {}
            wait_until("the report", lambda: not pce.actions, 60)
            assert f"{FORMER} is back" in pce.heartbeats()[-1].failed_actions["u"]
            assert versions(pce)[-1] == FORMER and ven.data.running_pid() == pid
        finally:
            ven.close()
