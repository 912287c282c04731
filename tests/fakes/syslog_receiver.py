"""A real rsyslog that listens on UDP, TCP and TLS ports of this machine, over IPv4 and IPv6, and
writes down what comes.

Tests stop it and start it again on the same ports.
"""

import contextlib
import datetime
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pce_local.certificates import ensure_certificates
from tests.fakes.pce import wait_until

_CONFIGURATION = """
global(
  workDirectory="{folder}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{server}"
  defaultNetstreamDriverKeyFile="{server}"
)
module(load="imudp")
module(load="imptcp")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="raw" type="string" string="%rawmsg%\\n")
ruleset(name="keep") {{ action(type="omfile" file="{received}" template="raw") }}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="keep")
input(type="imptcp" address="127.0.0.1" port="{tcp}" ruleset="keep")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="keep")
input(type="imudp" address="::1" port="{udp}" ruleset="keep")
input(type="imptcp" address="::1" port="{tcp}" ruleset="keep")
input(type="imtcp" address="::1" port="{tls}" ruleset="keep")
"""


class Message(NamedTuple):
    """One message that was received, taken apart."""

    application: str
    sequence: int
    text: str


_MESSAGE = re.compile(r'<\d+>1 \S+ \S+ (\S+) - \S+ \[meta sequenceId="(\d+)"\] (.*)')


@dataclass
class SyslogReceiver:
    """One rsyslog; its files lie in ``folder``."""

    folder: Path
    udp: int = field(default_factory=lambda: _free_port(socket.SOCK_DGRAM))
    tcp: int = field(default_factory=lambda: _free_port(socket.SOCK_STREAM))
    tls: int = field(default_factory=lambda: _free_port(socket.SOCK_STREAM))
    ca_bundle: str = ""
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it, and wait until all its ports listen."""
        now = datetime.datetime.now(datetime.UTC)
        tls = self.folder / "tls"
        ca = ensure_certificates(tls, ["localhost", "127.0.0.1", "::1"], now)
        self.ca_bundle = Path(ca).read_text()
        configuration = self.folder / "rsyslog.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=self.folder,
                ca=ca,
                server=tls / "server.pem",
                received=self._received,
                udp=self.udp,
                tcp=self.tcp,
                tls=self.tls,
            )
        )
        program = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin:/bin")
        assert program, "rsyslogd is missing; `make setup` as root installs it"
        with (self.folder / "rsyslog.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-n", "-f", str(configuration), "-i", str(self.folder / "pid")],
                stdout=log,
                stderr=log,
            )
        wait_until("rsyslog's ports", self._listens)

    def stop(self) -> None:
        """Stop it; what it received is on disk."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    @property
    def raw(self) -> list[str]:
        """Lines received so far."""
        if not self._received.exists():
            return []
        return self._received.read_text().splitlines()

    def messages(self, count: int) -> list[Message]:
        """What was received, once there are at least ``count``."""
        wait_until(f"{count} messages", lambda: len(self.raw) >= count)
        return [message_in(line) for line in self.raw]

    @property
    def _received(self) -> Path:
        return self.folder / "received"

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "rsyslog.log").read_text()
        wanted = {f":{port:04X}" for port in (self.udp, self.tcp, self.tls)}
        tables = "".join(Path(f"/proc/net/{name}").read_text() for name in ("udp", "tcp"))
        # Asking the kernel: to try the ports would take them away from rsyslog, or connect to it.
        return wanted <= {line.split()[1][-5:] for line in tables.splitlines()}


def message_in(line: str) -> Message:
    """The parts of a line as it was received."""
    found = _MESSAGE.fullmatch(line)
    assert found, line
    return Message(found[1], int(found[2]), found[3])


@contextlib.contextmanager
def syslog_receiver(folder: Path) -> Iterator[SyslogReceiver]:
    """A running rsyslog."""
    receiver = SyslogReceiver(folder)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
