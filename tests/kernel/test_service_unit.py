"""The systemd units that the pairing script writes: what systemd says of them, and a VEN that has
no more rights than they give."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.build_ven_package import RELEASE, build
from tests.fakes.pce import wait_until
from tests.kernel.namespaces import Host, Network
from tests.kernel.protected_host import HTTP, allow, eventually, policy
from tests.kernel.real_ven import RealVen, pce_on
from tests.kernel.test_upgrade import installed, serve
from ven_protocol.flows import decode_batch, to_summaries
from ven_protocol.messages import Action

SCRIPT = Path(__file__).parents[2] / "functions/ven_software/pair.sh"
ESTABLISHED = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established"
EXPOSURE = 3.2
"""Most that ``systemd-analyze security`` may find, of 10; 9.6 is a service without any limit."""
LISTENS = """
import socket, time
server = socket.create_server(("", 8081))
time.sleep(60)
"""
NAMES = """
from ven.edge.processes import open_ports
print([port.process_name for port in open_ports()[0] if port.port == 8081])
"""


def unit(name: str, launcher: Path, prefix: Path, data: Path) -> str:
    """As the script writes it."""
    found = re.search(rf"/{name}\.service <<UNIT\n(.*?\n)UNIT\n", SCRIPT.read_text(), re.DOTALL)
    assert found
    text = found[1].replace("$VEN", str(launcher)).replace("$PREFIX", str(prefix))
    return text.replace("$DATA_DIR", str(data))


def capabilities() -> list[str]:
    """Of the agent's unit, in lower case and without ``CAP_``."""
    text = unit("ven", Path("/ven"), Path("/opt"), Path("/data"))
    found = re.search(r"^CapabilityBoundingSet=(.*)$", text, re.MULTILINE)
    assert found
    return [word.removeprefix("CAP_").lower() for word in found[1].split()]


def limited_to(*names: str) -> list[str]:
    """The command line before a program that has these capabilities and no way to more."""
    wanted = ",".join(("-all", *(f"+{name}" for name in names)))
    return ["setpriv", "--no-new-privs", f"--bounding-set={wanted}", f"--inh-caps={wanted}"]


@pytest.fixture
def foreign_listener(network: Network) -> Iterator[Host]:
    """``db``, on which somebody without rights listens on 8081."""
    host = network["db"]
    other = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    with subprocess.Popen(host.command(*other, sys.executable, "-c", LISTENS)) as listening:
        try:
            eventually(lambda: host.run("ss", "-tlnH", "sport", "=", ":8081"))
            yield host
        finally:
            listening.kill()


def test_systemd_takes_them(tmp_path: Path) -> None:
    """Without a warning about an unknown or wrong setting; and the agent is exposed little."""
    launcher = tmp_path / "ven"
    launcher.write_text("#!/bin/sh\n")
    launcher.chmod(0o755)
    files = []
    for name in ("ven", "ven-boot"):
        file = tmp_path / f"{name}.service"
        file.write_text(unit(name, launcher, tmp_path, tmp_path))
        files.append(str(file))
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *files]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    security = ["systemd-analyze", "security", "--offline=true", "--no-pager", files[0]]
    said = subprocess.run(security, capture_output=True, text=True, check=True).stdout
    level = re.search(r"exposure level for ven.service: ([\d.]+)", said)
    assert level and float(level[1]) <= EXPOSURE


def test_each_capability_is_needed(foreign_listener: Host) -> None:
    """NET_ADMIN for the firewall; the two others to name the program of another user."""
    host, names = foreign_listener, capabilities()
    assert sorted(names) == ["dac_read_search", "net_admin", "sys_ptrace"]
    for missing in ("", "dac_read_search", "sys_ptrace"):
        rights = limited_to(*(name for name in names if name != missing))
        said = host.run(*rights, sys.executable, "-c", NAMES)
        assert ("None" in said) is bool(missing), missing
    rights = limited_to(*(name for name in names if name != "net_admin"))
    assert host.run(*rights, "nft", "list", "tables", check=False) == ""
    assert "not permitted" in host.run(
        "sh", "-c", f"{' '.join(rights)} nft list tables 2>&1 || true"
    )


def test_a_whole_life_with_these_rights(
    network: Network, foreign_listener: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paired, it enforces, sets its sysctls, names programs of other users, tells flows, puts back
    what somebody changed, upgrades itself, and takes everything away again."""
    monkeypatch.setenv("PCE_VEN_PACKAGES", str(build().parent))
    host, web = foreign_listener, network["web"]
    with pce_on(host, tmp_path) as pce:
        pce.software = serve
        where = installed(tmp_path / "opt", tmp_path / "ven")
        program = [*limited_to(*capabilities()), str(where.launcher)]
        with contextlib.closing(RealVen(host, tmp_path, pce, program)) as ven:
            pce.set_policy(policy("full", {"web": [web.ipv4]}, allow(["web"], HTTP)))
            ven.start()
            ven.await_policy()
            rights = Path(f"/proc/{ven.pid}/status").read_text()
            assert "CapEff:\t0000000000081004" in rights and "NoNewPrivs:\t1" in rights
            assert host.run("cat", ESTABLISHED).strip() == "28800"

            with host.listen(80):
                assert web.reaches(host, 80) and web.misses(host, 8081)
            reports = wait_until("open ports", pce.services, 60)
            [port] = [p for p in reports[-1].open_ports if p.port == 8081]
            assert port.process_name and port.user == "nobody"

            host.run("nft", "flush", "chain", "inet", "ven", "judge_in")
            [told] = wait_until("the report of tampering", pce.tampering)
            assert told.revert_succeeded and told.process_name == "nft"
            assert web.misses(host, 8081)

            pce.actions = [Action(id="u", type="upgrade", params={"release": RELEASE})]
            wait_until("the new release", lambda: not pce.actions, 60)
            assert pce.heartbeats()[-1].host.version == RELEASE
            wait_until("the end of the trial", lambda: where.trial() is None)
            assert "CapEff:\t0000000000081004" in Path(f"/proc/{ven.pid}/status").read_text()

            ven.run("suspend")
            assert ven.table() == ""
        batches = [decode_batch(heard.body) for heard in pce.told("flows")]
    ports = {summary.dst_port for batch in batches for summary in to_summaries(batch)}
    assert {80, 8081} <= ports
