"""A pod that begins while others send to it, with a witness of what reaches it."""

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.kernel.container_host import PREFIX, ContainerHost
from tests.kernel.namespaces import entered_network

FORBIDDEN_PORT = 81

_WITNESS = """table inet witness {
    chain arrived { type filter hook input priority 500; policy accept;
        udp dport 81 counter
    }
    chain left { type filter hook output priority -500; policy accept;
        udp dport 81 counter
    }
}"""


class NewPod:
    """It sends to its host as soon as it can."""

    def __init__(
        self, node: ContainerHost, name: str, number: int, namespace: str = "shop"
    ) -> None:
        self.node, self.name, self.number, self.namespace = node, name, number, namespace
        self.network = Path(f"/run/netns/segm-pod-{name}")

    @contextlib.contextmanager
    def in_its_own_order(self, *, process_first: bool) -> Iterator[None]:
        """``process_first``: as Docker does; else as Kubernetes' runtimes do. Its pod ``web`` and
        its host send to it all the time."""
        node, done = self.node, threading.Event()
        senders = [threading.Thread(target=self._knock, args=(done, on)) for on in ("web", "")]
        heard = node.host.listen(FORBIDDEN_PORT, kind=socket.SOCK_DGRAM)
        heard.setblocking(False)
        self.heard = heard
        if process_first:
            node.start_pod(self.name, self.namespace, role="db")
            self.network = Path(f"/proc/{node.pid(self.name)}/ns/net")
        else:
            subprocess.run(("ip", "netns", "add", self.network.name), check=True)
        try:
            with entered_network(self.network):
                subprocess.run(("nft", "-f", "-"), input=_WITNESS, text=True, check=True)
            for sender in senders:
                sender.start()
            node.link_pod(self.network, self.name, self.number)
            shouting = threading.Thread(target=self._shout, args=(done,))
            shouting.start()
            senders.append(shouting)
            if not process_first:
                node.start_pod(self.name, self.namespace, self.network, role="db")
            yield
        finally:
            done.set()
            for sender in senders:
                sender.join()
            heard.close()
            node.end_pod(self.name)
            if not process_first:
                subprocess.run(("ip", "netns", "delete", self.network.name), check=True)

    def _knock(self, done: threading.Event, pod: str) -> None:
        """Send to it, from another pod or from its host."""
        node = self.node
        with node.entered(pod) if pod else node.host.entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        _send(sender, f"{PREFIX}.{self.number}", done)

    def _shout(self, done: threading.Event) -> None:
        with entered_network(self.network):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        _send(sender, f"{PREFIX}.1", done)

    def counted(self) -> dict[str, int]:
        """Packets that got as far as the pod's sockets, and that it wanted to send."""
        with entered_network(self.network):
            listed = subprocess.run(
                ("nft", "-j", "list", "table", "inet", "witness"), check=True, capture_output=True
            ).stdout
        rules = [entry["rule"] for entry in json.loads(listed)["nftables"] if "rule" in entry]
        return {
            rule["chain"]: part["counter"]["packets"]
            for rule in rules
            for part in rule["expr"]
            if "counter" in part
        }

    def was_heard(self) -> bool:
        """Whether its host got a packet of it."""
        with contextlib.suppress(BlockingIOError):
            return bool(self.heard.recv(10))
        return False


def _send(sender: socket.socket, address: str, done: threading.Event) -> None:
    while not done.wait(0.002):
        with contextlib.suppress(OSError):
            sender.sendto(b"first", (address, FORBIDDEN_PORT))
    sender.close()
