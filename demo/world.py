"""Where the demo takes place: three hosts on real kernels, or on simulated ones without root."""

import json
import os
import re
import shutil
import socket
import subprocess
import threading
from abc import ABC, abstractmethod
from pathlib import Path

from demo.operator import Credentials, wait_for
from demo.processes import BIN, Program
from tests.kernel.namespaces import Host, Network

ANSWER = b"the database answers" * 50
"""What the demo's database sends to whoever connects: 1,000 bytes."""

CONNECT_TIMEOUT_S = 0.6
"""Longer than any answer here takes, shorter than the first repetition of a lost SYN."""


class World(ABC):
    """Hosts ``web``, ``db`` and ``outsider``; on ``db`` a service listens on the demo's port."""

    pce_host: str
    """Address on which the PCE is to listen, reachable from every host."""
    kernels: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vens: dict[str, Program] = {}

    @abstractmethod
    def address(self, name: str) -> str:
        """The IPv4 address of a host."""

    @abstractmethod
    def connects(self, name: str, to: str, port: int) -> bool:
        """Whether a TCP connection from one host to another gets through and is answered."""

    @abstractmethod
    def enforces(self, name: str, address: str) -> bool:
        """Whether this host's kernel names that address in the VEN's table."""

    @abstractmethod
    def command(self, name: str, *arguments: str) -> list[str]:
        """The command line of the VEN on a host."""

    def data_dir(self, name: str) -> Path:
        """Where the VEN of a host keeps its data."""
        return self.folder / name

    def pair(self, name: str, credentials: Credentials) -> None:
        """Activate the VEN of a host."""
        command = self.command(
            name, "activate", "--management-server", credentials.server,
            "--activation-code", credentials.activation_code, "--ca-file", credentials.ca_file,
        )  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise RuntimeError(f"pairing {name}: {done.stdout}{done.stderr}")

    def start(self, name: str) -> None:
        """Start the VEN of a host."""
        command = self.command(name, "start", "--foreground")
        self.vens[name] = Program(command, self.folder / f"{name}.log")

    def check(self) -> None:
        """Raise when a VEN has died by itself."""
        for ven in self.vens.values():
            ven.check()

    def close(self) -> None:
        """Stop the VENs and take everything away."""
        for ven in self.vens.values():
            ven.stop()


class RealWorld(World):
    """Each host is a network namespace with its own firewall, connection table and addresses."""

    kernels = "real kernels"

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder)
        self._network = Network("web", "db", "outsider", ipv4=_free_network(), uplink=True)
        self.pce_host = self._network.gateway.ipv4
        self._server = self.host("db").listen(port)
        self._server.settimeout(None)
        threading.Thread(target=self._serve, daemon=True).start()

    def address(self, name: str) -> str:
        return self.host(name).ipv4

    def connects(self, name: str, to: str, port: int) -> bool:
        try:
            with self.host(name).connect(self.host(to), port, timeout_s=CONNECT_TIMEOUT_S) as own:
                return own.recv(1) == ANSWER[:1]
        except OSError:
            return False

    def enforces(self, name: str, address: str) -> bool:
        table = self.host(name).run("nft", "list", "table", "inet", "ven", check=False)
        # Dynamic sets hold what was seen, all others what is enforced.
        enforced = [part for part in table.split("\n\t}") if "flags dynamic" not in part]
        return any(re.search(rf"\b{re.escape(address)}\b", part) for part in enforced)

    def command(self, name: str, *arguments: str) -> list[str]:
        ven = ["--data-dir", str(self.data_dir(name)), *arguments]
        # A namespace shares the machine's host name; each of these hosts has its own.
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', name]
        return self.host(name).command(*named, str(BIN / "ven"), *ven)

    def close(self) -> None:
        super().close()
        self._server.close()
        self._network.close()

    def host(self, name: str) -> Host:
        """The namespace of a host."""
        return self._network[name]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(ANSWER)


class SimulatedWorld(World):
    """Each host is a VEN with a kernel in memory, which is told of connections."""

    kernels = "simulated kernels"
    pce_host = "127.0.0.1"
    _addresses = {"web": "10.77.0.1", "db": "10.77.0.2", "outsider": "10.77.0.3"}

    def address(self, name: str) -> str:
        return self._addresses[name]

    def connects(self, name: str, to: str, port: int) -> bool:
        wish = {"src": self.address(name), "dst": self.address(to), "port": port}
        wish |= {"bytes_to_dst": 400, "bytes_to_src": 1_400}
        # A packet passes both hosts' firewalls; the second sees it only if the first let it out.
        return all(self._try(host, wish) for host in (name, to))

    def enforces(self, name: str, address: str) -> bool:
        kept = self.data_dir(name) / "policy.json"
        return kept.exists() and f'"{address}"' in kept.read_text()

    def command(self, name: str, *arguments: str) -> list[str]:
        simulate = ["--simulated-host", f"{name}={self.address(name)}/24"]
        return [str(BIN / "ven"), "--data-dir", str(self.data_dir(name)), *simulate, *arguments]

    def _try(self, name: str, wish: dict[str, object]) -> bool:
        path = self.data_dir(name) / "simulated.sock"
        wait_for(f"the simulated kernel of {name}", path.exists)
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(5)
            try:
                control.connect(str(path))
            except ConnectionRefusedError:
                return False  # the VEN is not running, and with it its kernel
            control.sendall(json.dumps(wish).encode() + b"\n")
            answer = json.loads(control.makefile().readline())
        if "error" in answer:
            raise RuntimeError(f"{name}: {answer['error']}")
        return bool(answer["decision"] != "blocked")


def world_of_this_machine(folder: Path, port: int) -> World:
    """Real kernels where this process may make network namespaces, else simulated ones."""
    if os.geteuid() == 0 and shutil.which("nft") and shutil.which("ip"):
        return RealWorld(folder, port)
    return SimulatedWorld(folder)


def _free_network() -> str:
    """A private network that no interface of this machine is in."""
    routes = subprocess.run(["ip", "-4", "addr"], capture_output=True, text=True, check=True).stdout
    return next(f"10.77.{third}.0/24" for third in range(256) if f"10.77.{third}." not in routes)
