"""A VEN on a host of its own, a PCE on this machine, and what may go wrong between the two."""

import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from demo.operator import Credentials, Operator, wait_for
from demo.processes import BIN, Program, free_port
from pce_local.certificates import SERVER_LIFE, ensure_certificates, server_context
from tests.kernel.namespaces import Network

NAME = "pce.test"
"""How the VEN knows its PCE; only the host's own table of names knows it."""
SERVICE = 8080
NETNS_FILES = Path("/etc/netns")
"""``ip netns exec`` puts the files of ``/etc/netns/<name>/`` over those of ``/etc``."""
PCE = "127.0.0.1"
"""Where the PCE listens; the VEN comes to it by the relay."""


SHIFTED_CLOCK = """
import socket
import time
from pathlib import Path

real, settimeout = time.time, socket.socket.settimeout


def told(name):
    return int(Path(__file__).with_name(name).read_text())


def shortened(self, seconds):
    settimeout(self, seconds and min(seconds, told("patience")))


time.time = lambda: real() + told("shift")
socket.socket.settimeout = shortened
"""
"""``sitecustomize.py`` of the VEN's interpreter: its wall clock is late or early by seconds, and
the time-outs of its connections are at most so long."""
ENDLESS_S = 3600


class FaultyNetwork:
    """``web`` has the VEN, in full enforcement: ``friend`` may connect, ``stranger`` may not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._network = Network("web", "friend", "stranger", ipv4="10.78.0.0/24", uplink=True)
        self.web, self.friend, self.stranger = (
            self._network[name] for name in ("web", "friend", "stranger")
        )
        self.gateway = self._network.gateway.ipv4
        self._etc = NETNS_FILES / self.web.namespace
        self._etc.mkdir(parents=True)
        self.names(known=True)
        # Nobody answers there, at once: a resolver that waits would wait for seconds.
        (self._etc / "resolv.conf").write_text("nameserver 127.0.0.1\noptions attempts:1\n")
        self._clock = folder / "clock"
        self._clock.mkdir()
        (self._clock / "sitecustomize.py").write_text(SHIFTED_CLOCK)
        self.clock(0)
        self.patience(ENDLESS_S)
        self._service = self.web.listen(SERVICE)
        self._service.settimeout(None)
        threading.Thread(target=_serve, args=(self._service,), daemon=True).start()
        self.port = free_port(self.gateway)
        self.relay = Relay(self.gateway, self.port)
        self.pce: Program
        self.start_pce()
        self.operator = Operator(self._credentials("localhost"))
        self._ven: Program | None = None

    def close(self) -> None:
        """Stop everything and take it away."""
        if self._ven is not None:
            self._ven.stop()
        self.relay.close()
        self.pce.stop()
        self._service.close()
        self._network.close()
        shutil.rmtree(self._etc, ignore_errors=True)

    # The PCE

    def kill_pce(self) -> None:
        """It is gone, and nothing listens where it was."""
        self.relay.close()
        self.pce.kill()

    def start_pce(self) -> None:
        """On the state that it had."""
        state = self.folder / "pce"
        state.mkdir(parents=True, exist_ok=True)
        command = [
            str(BIN / "pce-local"), "--bind", PCE, "--hostname", NAME,
            "--port", str(self.port), "--state-dir", str(state),
            "--heartbeat-interval", "1", "--flow-interval", "2", "--sweep-interval", "1",
        ]  # fmt: skip
        self.pce = Program(command, self.folder / "pce.log", ready="ready https://")
        self.relay.open()

    def _credentials(self, host: str) -> Credentials:
        """Those of the first org, with an address that this machine reaches."""
        path = self.folder / "pce" / "credentials.json"
        document = json.loads(path.read_text())
        document["url"] = document["url"].replace(NAME, host)
        return Credentials(**{name: document[name] for name in Credentials.__dataclass_fields__})

    # The VEN

    def pair_and_enforce(self) -> None:
        """Pair, label, provision one rule, and see it in the kernel."""
        known = self._credentials(NAME)
        self.web.run(
            *self._program("activate", "--management-server", known.server),
            *("--activation-code", known.activation_code, "--ca-file", known.ca_file),
        )
        self._ven = Program(
            self.web.command(*self._program("start", "--foreground")), self.folder / "ven.log"
        )
        [workload] = self.operator.get(f"{self.operator.org}/workloads", managed="true")
        self.href: str = workload["href"]
        label = self.operator.label("role", "web")
        changes = {"labels": [{"href": label}], "enforcement_mode": "full"}
        self.operator.update(self.href, changes)
        draft = f"{self.operator.org}/sec_policy/draft"
        rule_set = self.operator.create(
            f"{draft}/rule_sets",
            {"name": "web", "enabled": True, "scopes": [[{"label": {"href": label}}]]},
        )["href"]
        friends = self.operator.create(
            f"{draft}/ip_lists",
            {"name": "friends", "ip_ranges": [{"from_ip": self.friend.ipv4}]},
        )["href"]
        self._rule(rule_set, label, friends, SERVICE)
        self.rule_set, self.label, self.friends = rule_set, label, friends
        self.operator.provision("friends may come in")
        wait_for("enforcement", self.enforces)

    def allow(self, port: int) -> None:
        """One more rule, provisioned."""
        self._rule(self.rule_set, self.label, self.friends, port)
        self.operator.provision(f"friends may use {port}")

    def allows(self, port: int) -> bool:
        """Whether the VEN's kernel has a rule for this port."""
        table = self.web.run("nft", "list", "table", "inet", "ven", check=False)
        return str(port) in table

    def _rule(self, rule_set: str, label: str, ip_list: str, port: int) -> None:
        rule = {
            "enabled": True,
            "providers": [{"label": {"href": label}}],
            "consumers": [{"ip_list": {"href": ip_list}}],
            "ingress_services": [{"proto": 6, "port": port}],
            "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        }
        self.operator.create(f"{rule_set}/sec_rules", rule)

    def enforces(self) -> bool:
        """Whether the friend gets in and the stranger does not."""
        return self.friend.reaches(self.web, SERVICE) and self.stranger.misses(self.web, SERVICE)

    def mode(self) -> str:
        """As ``ven status`` shows it."""
        with suppress(OSError, ValueError):
            return str(json.loads((self.folder / "web" / "status.json").read_text())["mode"])
        return ""

    def online(self) -> bool:
        """As the PCE sees it."""
        return bool(self.operator.get(self.href)["online"])

    def conditions(self) -> Any:
        """What is wrong with the VEN, as the PCE shows it."""
        return self.operator.get(self.href.replace("/workloads/", "/vens/"))["conditions"]

    def heard_at(self) -> datetime:
        """When the PCE heard the VEN last."""
        at = self.operator.get(self.href)["agent"]["status"]["last_heartbeat_on"]
        return datetime.fromisoformat(at.replace("Z", "+00:00"))

    def is_heard(self) -> None:
        """See the PCE hear it once more from now on."""
        now = datetime.now(UTC)
        wait_for("a heartbeat", self.heard_at, lambda at: at > now)

    def log(self) -> str:
        """Everything that the VEN has logged."""
        return (self.folder / "web" / "log" / "agent.log").read_text()

    def said(self, text: str) -> Any:
        """Wait for a line that says so; returns the log from the beginning of that on."""
        return wait_for(f"the VEN to log {text!r}", lambda: text in self.log_since_begin())

    def begin(self) -> None:
        """A new fault: what was logged so far does not count; the VEN is well."""
        wait_for("a VEN that is well", lambda: self.mode() == "normal")
        self._logged = len(self.log())

    def log_since_begin(self) -> str:
        """What the VEN logged since :meth:`begin`."""
        return self.log()[self._logged :]

    def _program(self, *arguments: str) -> list[str]:
        ven = (str(BIN / "ven"), "--data-dir", str(self.folder / "web"))
        return ["env", f"PYTHONPATH={self._clock}", *ven, *arguments]

    # The faults

    def names(self, known: bool) -> None:
        """The host's own table of names, written in place: it is mounted over the VEN's."""
        (self._etc / "hosts").write_text(f"{self.gateway} {NAME}\n" if known else "\n")

    def clock(self, shift_s: int) -> None:
        """Shift the VEN's wall clock."""
        (self._clock / "shift").write_text(str(shift_s))

    def patience(self, seconds: int) -> None:
        """Shorten the time-outs of the VEN's connections, from the next one on."""
        (self._clock / "patience").write_text(str(seconds))

    @contextmanager
    def expired_certificate(self) -> Iterator[None]:
        """In the PCE's place somebody serves with its certificate of last year."""
        folder = self.folder / "expired"
        folder.mkdir()
        for name in ("ca.pem", "ca.key"):
            shutil.copy(self.folder / "pce" / "tls" / name, folder / name)
        last_year = datetime.now(UTC) - SERVER_LIFE - timedelta(days=1)
        ensure_certificates(folder, [NAME], last_year)
        self.relay.close()
        with (
            socket.create_server((self.gateway, self.port)) as plain,
            server_context(folder).wrap_socket(plain, server_side=True) as server,
        ):
            threading.Thread(target=_serve, args=(server,), daemon=True).start()
            self.relay.cut()
            yield
            server.shutdown(socket.SHUT_RDWR)
        self.relay.open()

    @contextmanager
    def rule(self, *nft: str) -> Iterator[None]:
        """Somebody else's firewall rule for what leaves the VEN's host."""
        self.web.run("nft", "add", "table", "inet", "fault")
        out = "{ type filter hook output priority -300; }"
        try:
            self.web.run("nft", "add", "chain", "inet", "fault", "out", out)
            self.web.run("nft", "add", "rule", "inet", "fault", "out", *nft)
            yield
        finally:
            self.web.run("nft", "delete", "table", "inet", "fault")

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Packets between the VEN and the PCE vanish, both ways, without a word to anybody. The VEN
        waits for two seconds instead of the half minute that it gives the PCE."""
        self.patience(2)
        self.relay.cut()
        self.is_heard()
        chains = """table inet fault {
            chain out { type filter hook output priority -300; ip daddr PCE drop; }
            chain into { type filter hook prerouting priority -300; ip saddr PCE drop; }
        }"""
        self.web.run("nft", chains.replace("PCE", self.gateway))
        try:
            yield
        finally:
            self.patience(ENDLESS_S)
            self.web.run("nft", "delete", "table", "inet", "fault")


def _serve(service: socket.socket) -> None:
    """Accept and hang up."""
    while service.fileno() >= 0:
        with suppress(OSError):
            service.accept()[0].close()


class Relay:
    """Between the VEN and the PCE, on the PCE's port but another address."""

    def __init__(self, host: str, port: int) -> None:
        self.late_s = 0.0
        """How long it keeps everything before it passes it on."""
        self._address = (host, port)
        self._server: socket.socket | None = None
        self._clients: set[socket.socket] = set()

    def cut(self) -> None:
        """End every connection."""
        for client in list(self._clients):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Listen."""
        server = self._server = socket.create_server(self._address)
        threading.Thread(target=self._serve, args=(server,), daemon=True).start()

    def close(self) -> None:
        """Listen no more: connections are refused."""
        if self._server is not None:
            with suppress(OSError):
                self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            self._server.close()
            self._server = None

    def _serve(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        with (
            client,
            suppress(OSError),
            socket.create_connection((PCE, self._address[1])) as there,
        ):
            self._clients.add(client)
            back = threading.Thread(target=self._pass_on, args=(there, client), daemon=True)
            back.start()
            self._pass_on(client, there)
            back.join()
            self._clients.discard(client)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self.late_s)
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
