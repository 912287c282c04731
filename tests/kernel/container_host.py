"""A container host: a namespace in which runc runs pods on a bridge."""

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.kernel.namespaces import Host, entered_network

PREFIX = "10.42.0"


class ContainerHost:
    """Its own network is ``10.42.0.1/24`` on a bridge; each pod gets another address there.

    ``runtime_root`` is where runc keeps its state.
    """

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.runtime_root = folder / "run"
        self._folder = folder
        self._root = folder / "rootfs"
        (self._root / "bin").mkdir(parents=True)
        (self._root / "proc").mkdir()
        busybox = shutil.which("busybox")
        assert busybox, "apt-get install busybox-static"
        shutil.copy(busybox, self._root / "bin")
        self._pods: list[str] = []
        host.run("ip", "link", "set", "lo", "up")
        host.run("ip", "link", "add", "pods", "type", "bridge")
        host.run("ip", "address", "add", f"{PREFIX}.1/24", "dev", "pods")
        host.run("ip", "link", "set", "pods", "up")

    def run_pod(self, name: str, number: int, namespace: str = "shop", **labels: str) -> None:
        """A pod that sleeps, at ``10.42.0.<number>``, with annotations as Kubernetes has them."""
        self.start_pod(name, namespace, **labels)
        self.link_pod(Path(f"/proc/{self.pid(name)}/ns/net"), name, number)

    def start_pod(
        self, name: str, namespace: str = "shop", network: Path | None = None, **labels: str
    ) -> None:
        """A pod without a link of its own yet, or in a network that was made before."""
        bundle = self._folder / name
        bundle.mkdir()
        annotations = {
            "io.kubernetes.cri.sandbox-namespace": namespace,
            "io.kubernetes.cri.sandbox-name": name,
            **{f"com.illumio.{key}": value for key, value in labels.items()},
        }
        namespaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
        namespaces.append({"type": "network"} | ({"path": str(network)} if network else {}))
        config = {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": ["/bin/busybox", "sleep", "600"],
                "cwd": "/",
                "noNewPrivileges": True,
            },
            "root": {"path": str(self._root)},
            "annotations": annotations,
            "linux": {"namespaces": namespaces},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        }
        (bundle / "config.json").write_text(json.dumps(config))
        self._pods.append(name)
        # Only the network is the host's: runc needs the machine's cgroups.
        with self.host.entered():
            self._runc("run", "--detach", "--bundle", str(bundle), name)

    def link_pod(self, network: Path, name: str, number: int) -> None:
        """A pair of links between a pod's network and the bridge, and an address."""
        pair = ("type", "veth", "peer", "eth0", "netns", str(network))
        self.host.run("ip", "link", "add", name, *pair)
        self.host.run("ip", "link", "set", name, "master", "pods", "up")
        with entered_network(network):
            for command in (
                ("link", "set", "lo", "up"),
                ("address", "add", f"{PREFIX}.{number}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
            ):
                subprocess.run(("ip", *command), check=True)

    def end_pod(self, name: str) -> None:
        """Kill it."""
        self._runc("delete", "--force", name)
        self._pods.remove(name)

    def pid(self, name: str) -> int:
        """Of the pod's process."""
        state = json.loads((self.runtime_root / name / "state.json").read_text())
        return int(state["init_process_pid"])

    def entered(self, name: str) -> contextlib.AbstractContextManager[None]:
        """The calling thread is in the pod's network."""
        return entered_network(Path(f"/proc/{self.pid(name)}/ns/net"))

    @contextlib.contextmanager
    def listening(self, name: str, number: int, *ports: int) -> Iterator[None]:
        """The pod accepts connections to these ports; each is closed at once."""
        with self.entered(name):
            servers = [socket.create_server((f"{PREFIX}.{number}", port)) for port in ports]
        try:
            yield
        finally:
            for server in servers:
                server.close()

    def connects(self, name: str, number: int, port: int, timeout_s: float = 1.0) -> bool:
        """Can the pod open a connection to another?"""
        with self.entered(name), contextlib.suppress(OSError):
            socket.create_connection((f"{PREFIX}.{number}", port), timeout_s).close()
            return True
        return False

    def close(self) -> None:
        """End all pods."""
        for name in list(self._pods):
            self.end_pod(name)

    def _runc(self, *arguments: str) -> None:
        # The container inherits what it says to, so a pipe would stay open.
        with (self._folder / "runc.log").open("a+") as log:
            done = subprocess.run(
                ("runc", "--root", str(self.runtime_root), *arguments),
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=60,
            )
            if done.returncode != 0:
                log.seek(0)
                raise RuntimeError(f"runc {arguments}: {log.read()[-1000:]}")
