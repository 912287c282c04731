"""Hosts in network namespaces, joined by a switch: for kernel tests and the demo. Needs root.

Each host has its own firewall, connection table, sysctls of the network and interfaces, but shares
processes and files with this machine. The switch is a namespace too, so nothing of the machine's
own network is touched, except for the one interface of an uplink when it is asked for.
"""

import contextlib
import ctypes
import itertools
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import TracebackType

_PREFIX = "segm"
_NAMED = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Host:
    """One namespace with one interface, ``eth0``, and two addresses."""

    namespace: str
    ipv4: str
    ipv6: str

    def address(self, family: int) -> str:
        return self.ipv4 if family == 4 else self.ipv6

    def entered(self) -> contextlib.AbstractContextManager[None]:
        """The calling thread is in this host's network: sockets that it opens and programs that
        it starts stay there."""
        return entered_network(_NAMED / self.namespace)

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs a program on this host, with its own ``/sys``."""
        return ["ip", "netns", "exec", self.namespace, *arguments]

    def run(self, *arguments: str, check: bool = True) -> str:
        """Output of a program that runs on this host."""
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, timeout=60
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{arguments} on {self.namespace}: {done.stderr or done.stdout}")
        return done.stdout

    def listen(self, port: int, family: int = 4, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A socket that receives on ``port``; connections wait in its backlog to be accepted."""
        with self.entered():
            server = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind)
        server.settimeout(5)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == 6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(("0.0.0.0" if family == 4 else "::", port))
        if kind == socket.SOCK_STREAM:
            server.listen(64)
        return server

    def connect(
        self, host: "Host", port: int, family: int = 4, timeout_s: float = 5
    ) -> socket.socket:
        """A TCP connection to ``host``. Raises TimeoutError when packets are dropped."""
        with self.entered():
            client = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6)
        client.settimeout(timeout_s)
        try:
            client.connect((host.address(family), port))
        except BaseException:
            client.close()
            raise
        return client

    def reaches(self, host: "Host", port: int, family: int = 4, timeout_s: float = 5) -> bool:
        """Whether a TCP handshake succeeds; waits long, for a machine that is busy."""
        try:
            self.connect(host, port, family, timeout_s).close()
        except TimeoutError:
            return False
        return True

    def misses(self, host: "Host", port: int, family: int = 4) -> bool:
        """Whether a TCP handshake is left without an answer; waits shorter than it takes for a
        SYN to be sent again (1 s)."""
        return not self.reaches(host, port, family, timeout_s=0.4)

    def pings(self, host: "Host", family: int = 4) -> bool:
        """Whether one echo request is answered within a second."""
        ping = self.command("ping", f"-{family}", "-n", "-c1", "-W1", host.address(family))
        return subprocess.run(ping, capture_output=True, check=False, timeout=10).returncode == 0


class Network:
    """Hosts on one switch: ``Network("web", "db")["web"].ipv4``. A context manager."""

    def __init__(
        self,
        *names: str,
        ipv4: str = "10.77.0.0/24",
        ipv6: str = "fd77::/64",
        uplink: bool = False,
    ) -> None:
        """``uplink``: this machine gets an interface to the switch, with the networks' addresses
        number 254; then the networks must not be used elsewhere on it."""
        remove_leftovers()
        self.id = f"{_PREFIX}-{os.getpid()}-{secrets.token_hex(2)}"
        self._switch = f"{self.id}-switch"
        self._uplink = f"{_PREFIX}{secrets.token_hex(4)}" if uplink else ""
        networks = IPv4Network(ipv4), IPv6Network(ipv6)
        self.gateway = Host("", str(networks[0][254]), str(networks[1][254]))
        self.hosts: dict[str, Host] = {}
        self.switch = Host(self._switch, "", "")
        """Where all packets pass, in the bridge family; it has no addresses."""
        try:
            self._create(names, networks)
        except BaseException:
            self.close()
            raise

    def _create(self, names: tuple[str, ...], networks: tuple[IPv4Network, IPv6Network]) -> None:
        lengths = [network.prefixlen for network in networks]
        _ip(f"netns add {self._switch}")
        on_switch = ["link add br0 type bridge", "link set br0 up", "link set lo up"]
        for number, name in enumerate(names, 1):
            host = Host(f"{self.id}-{name}", str(networks[0][number]), str(networks[1][number]))
            self.hosts[name] = host
            _ip(f"netns add {host.namespace}")
            on_switch += [
                f"link add p{number} type veth peer name eth0 netns {host.namespace}",
                f"link set p{number} master br0 up",
            ]
        if self._uplink:
            _ip(f"link add {self._uplink} type veth peer name up0 netns {self._switch}")
            on_switch.append("link set up0 master br0 up")
            _ip(*_addresses(self._uplink, self.gateway, lengths))
        _ip(*on_switch, namespace=self._switch)
        for host in self.hosts.values():
            _ip("link set lo up", *_addresses("eth0", host, lengths), namespace=host.namespace)

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def __enter__(self) -> "Network":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take everything away."""
        _delete(name.name for name in _named() if name.name.startswith(self.id + "-"))
        if self._uplink and Path(f"/sys/class/net/{self._uplink}").exists():
            with contextlib.suppress(RuntimeError):  # the switch may have just taken it along
                _ip(f"link delete {self._uplink}")


def remove_leftovers() -> None:
    """Delete the namespaces of processes that ended without doing so."""
    _delete(
        path.name
        for path in _named()
        if path.name.startswith(_PREFIX + "-")
        and not Path("/proc", path.name.split("-")[1]).exists()
    )


def _named() -> list[Path]:
    return list(_NAMED.iterdir()) if _NAMED.exists() else []


def _delete(names: Iterator[str]) -> None:
    for name in names:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _addresses(interface: str, host: Host, lengths: list[int]) -> list[str]:
    # nodad: the address can be used at once instead of after a second of probing.
    return [
        f"link set {interface} up",
        f"addr add {host.ipv4}/{lengths[0]} brd + dev {interface}",
        f"addr add {host.ipv6}/{lengths[1]} dev {interface} nodad",
    ]


def _ip(*commands: str, namespace: str = "") -> None:
    place = ["-n", namespace] if namespace else []
    done = subprocess.run(
        ["ip", *place, "-batch", "-"],
        input="\n".join(itertools.chain(commands, ("",))),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"ip {commands}: {done.stderr}")


@contextlib.contextmanager
def entered_network(namespace: Path) -> Iterator[None]:
    """The calling thread is in the network namespace of this file."""
    with Path("/proc/thread-self/ns/net").open() as home, namespace.open() as there:
        _set_namespace(there.fileno())
        try:
            yield
        finally:
            _set_namespace(home.fileno())


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns: entering a network namespace needs root")
