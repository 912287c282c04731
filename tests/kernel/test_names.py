"""Domain names in a policy: answers of a real name server, seen by the firewall, open it."""

import ast
import asyncio
import os
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Queue

import pytest

from tests.kernel.name_server import AAAA, A, NameServer, question
from tests.kernel.namespaces import Host, Network
from tests.kernel.protected_host import HTTP, allow, eventually, policy
from ven.core.dns import Answer
from ven.core.names import NameBook
from ven.core.timing import Dice
from ven.edge import answers, linux
from ven.edge.answers import AnswerLog
from ven.edge.clock import Clock
from ven.edge.files import DataDirectory
from ven.edge.linux import LinuxKernel
from ven.enforcement import Enforcement
from ven.name_resolution import NameResolution

NAMES = {"named": ["www.example.test", "*.cdn.test"]}
FAMILIES = pytest.mark.parametrize("family", [4, 6])


@pytest.fixture
def server(network: Network) -> Iterator[NameServer]:
    with closing(NameServer(network["other"], {})) as found:
        web = network["web"]
        for name in ("www.example.test", "a.cdn.test", "elsewhere.test"):
            found.zone[name] = [web.ipv4, web.ipv6]
        yield found


class Named:
    """A host whose policy lets it reach port 80 of names, and what the VEN knows of them."""

    def __init__(self, host: Host, state_dir: Path) -> None:
        self.host = host
        self.book = NameBook(Dice(1), NAMES)
        with host.entered():
            self.kernel = LinuxKernel(state_dir)
            rule = allow(["named"], HTTP, direction="out")
            self.document = policy("full", {"named": []}, rule, names=NAMES)
            self.kernel.apply(self.document)
            self.answers = self.kernel.answers()
        assert isinstance(self.answers, AnswerLog)

    def ask(self, server: Host, name: str, kind: int = A, tcp: bool = False) -> None:
        """Somebody on this host asks for a name, and gets an answer."""
        with self.host.entered():
            client = socket.socket(type=socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        with closing(client):
            client.settimeout(5)
            client.connect((server.ipv4, 53))
            asked = question(name, kind)
            client.sendall(len(asked).to_bytes(2) + asked if tcp else asked)
            while client.recv(2000):
                if not tcp:
                    break

    def observe(self) -> list[Answer]:
        """What is there now goes into the kernel."""
        found = self.answers.drain().items
        changes = [self.book.answered(answer, 0) for answer in found]
        if any(changes):
            with self.host.entered():
                self.kernel.learn(self.book.learned())
        return found

    def close(self) -> None:
        self.answers.close()
        with self.host.entered():
            self.kernel.remove()
        self.kernel.close()
        self.host.run("conntrack", "-F", check=False)


@pytest.fixture
def named(
    network: Network, server: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Named]:
    configuration = tmp_path / "resolv.conf"
    configuration.write_text(f"nameserver {network['other'].ipv4}\noptions timeout:1 attempts:1\n")
    monkeypatch.setattr(linux, "_RESOLVER_FILES", (configuration,))
    with closing(Named(network["db"], tmp_path)) as found:
        yield found


@FAMILIES
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("name", ["www.example.test", "a.cdn.test"])
def test_an_answer_opens_its_set_and_forgetting_closes_it(
    network: Network, named: Named, family: int, tcp: bool, name: str
) -> None:
    """What an application on the host was told is reached, until it is forgotten: then an open
    connection ends with its next packet. The table is intact all the time."""
    web, db = network["web"], named.host
    with closing(web.listen(80, family)) as target:
        assert db.misses(web, 80, family)
        named.ask(network["other"], name, A if family == 4 else AAAA, tcp)
        eventually(named.observe)
        with closing(db.connect(web, 80, family)) as client, target.accept()[0] as peer:
            assert named.kernel.intact()
            with db.entered():
                named.kernel.learn({})
            client.sendall(b"more")
            peer.settimeout(0.4)
            with pytest.raises(TimeoutError):
                peer.recv(10)
        assert named.kernel.intact()


def test_answers_fill_nothing_but_what_they_match(network: Network, named: Named) -> None:
    """Another name's address, an answer that nobody asked for, and one of a host that is no name
    server of this host open nothing."""
    web, other, db = network["web"], network["other"], named.host
    forged = _answer_of(web, "www.example.test", web.ipv4)
    with (
        closing(web.listen(80)),
        closing(web.listen(53, kind=socket.SOCK_DGRAM)) as stranger,
        closing(db.listen(5353, kind=socket.SOCK_DGRAM)),
    ):
        stranger.sendto(forged, (db.ipv4, 5353))
        with other.entered():
            resolver = socket.socket(type=socket.SOCK_RAW, proto=socket.IPPROTO_UDP)
        with closing(resolver):
            ports = (53).to_bytes(2) + (5353).to_bytes(2)
            datagram = ports + (8 + len(forged)).to_bytes(2) + b"\0\0" + forged
            resolver.sendto(datagram, (db.ipv4, 0))
        named.ask(other, "elsewhere.test")
        (seen,) = eventually(named.observe)
        assert seen.name == "elsewhere.test"
        assert named.book.learned() == {"named": frozenset()}
        assert db.misses(web, 80)


def _answer_of(host: Host, name: str, address: str) -> bytes:
    asked = question(name)
    record = b"\xc0\x0c\0\1\0\1\0\0\1\0\0\4" + socket.inet_aton(address)
    return asked[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked[12:] + record


def test_the_hosts_own_resolver_is_asked(
    network: Network, named: Named, server: NameServer, tmp_path: Path
) -> None:
    """Through the firewall that is in force: addresses of both families, none for a name that does
    not exist, and an error that is not "none" when nobody answers."""
    web = network["web"]
    expected = {socket.inet_aton(web.ipv4), socket.inet_pton(socket.AF_INET6, web.ipv6)}
    assert set(_resolve(named.host, tmp_path, "www.example.test")) == expected
    assert _resolve(named.host, tmp_path, "nobody.test") == ()
    assert "www.example.test" in server.asked
    (tmp_path / "resolv.conf").write_text(f"nameserver {web.ipv4}\noptions timeout:1 attempts:1\n")
    assert _resolve(named.host, tmp_path, "www.example.test") == "failed"


def _resolve(host: Host, folder: Path, name: str) -> object:
    script = (
        "from ven.edge.answers import *\n"
        f"try: print(repr(resolve({name!r})))\n"
        "except ResolutionFailed: print(repr('failed'))\n"
    )
    mounted = f'mount --bind {folder}/resolv.conf /etc/resolv.conf && exec "$@"'
    said = host.run(
        *("unshare", "-m", "sh", "-c", mounted, "sh"),
        *("env", f"PYTHONPATH={os.pathsep.join(sys.path)}", sys.executable, "-c", script),
    )
    return ast.literal_eval(said)


@contextmanager
def resolution(named: Named, data: DataDirectory) -> Iterator[NameResolution]:
    """The VEN's own loop over the names, in a thread that lives on the host."""
    begun: Queue[tuple[NameResolution, asyncio.Event]] = Queue()
    failures: list[BaseException] = []

    async def live() -> None:
        with ThreadPoolExecutor(1) as workers:
            enforcement = Enforcement(data, named.kernel)
            made = NameResolution(
                data, named.kernel, enforcement, workers, Clock(), failures.append
            )
            over = asyncio.Event()
            made.restore(named.document)
            begun.put((made, over))
            await over.wait()
            made.close()

    def work() -> None:
        nonlocal loop
        with named.host.entered(), asyncio.Runner() as runner:
            loop = runner.get_loop()
            runner.run(live())

    loop: asyncio.AbstractEventLoop
    thread = threading.Thread(target=work)
    thread.start()
    made, over = begun.get(timeout=10)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
    assert not thread.is_alive()
    assert failures == []


def test_the_ven_resolves_and_observes_by_itself(
    network: Network, named: Named, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name in full is reached without anybody on the host asking for it, one below a star as soon
    as somebody has asked; what was learned is on disk."""
    web, other, db = network["web"], network["other"], named.host
    data = DataDirectory(tmp_path / "ven")
    data.create()
    monkeypatch.setattr(answers, "resolve", lambda name: (socket.inet_aton(web.ipv4),))
    named.answers.close()  # a group has one reader
    with closing(web.listen(80, 4)), closing(web.listen(80, 6)), resolution(named, data):
        assert eventually(lambda: db.reaches(web, 80, 4, timeout_s=0.4))
        assert db.misses(web, 80, 6)
        named.ask(other, "a.cdn.test", AAAA)
        assert eventually(lambda: db.reaches(web, 80, 6, timeout_s=0.4))
        eventually(lambda: data.remembered_names().keys() == {"www.example.test", "a.cdn.test"})
