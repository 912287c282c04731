"""Which containers there are, which of them are one pod, and what is told of them."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ven import container_workloads
from ven.core.containers import Container, pods, told
from ven.core.kernel import KernelRefused
from ven.edge.files import DataDirectory
from ven.edge.runtimes import ContainerReader, network_of
from ven_protocol.messages import Interface

HOST = 1


def container(id: str, network: int = 2, created: str = "", **annotations: str) -> Container:
    said = {name.replace("__", "."): value for name, value in annotations.items()}
    return Container(id=id, pid=7, network=network, created=created, annotations=said)


def test_containers_that_share_a_network_are_one_pod() -> None:
    """Its id and process are the oldest one's, whatever the order; what uses the host's network is
    the host."""
    found = [
        container("app", created="2026-01-02"),
        container("sandbox", created="2026-01-01"),
        container("other", network=3),
        container("agent", network=HOST),
    ]
    for order in (found, found[::-1]):
        assert sorted(pods(order, HOST)) == ["other", "sandbox"]


@pytest.mark.parametrize(
    ("annotations", "name", "namespace"),
    [
        ({}, "c1", ""),
        (
            {
                "io.kubernetes.cri.sandbox-name": "web-1",
                "io.kubernetes.cri.sandbox-namespace": "shop",
            },
            "web-1",
            "shop",
        ),
        (
            {"io.kubernetes.pod.name": "web-1", "io.kubernetes.pod.namespace": "shop"},
            "web-1",
            "shop",
        ),
    ],
)
def test_a_pod_is_called_what_kubernetes_calls_it(
    annotations: dict[str, str], name: str, namespace: str
) -> None:
    """As containerd and CRI-O annotate it; without annotations it has its id."""
    one = Container(id="c1", pid=7, network=2, annotations=annotations)
    pod = pods([one], HOST)["c1"]
    assert (pod.name, pod.namespace) == (name, namespace)


def test_what_is_told_of_a_pod() -> None:
    """Labels from annotations of any of its containers; addresses without the loopback."""
    app = Container(
        id="app",
        pid=7,
        network=2,
        created="2",
        annotations={"com.illumio.role": "web", "ven.label/env": "prod", "com.illumio.": "x"},
    )
    found = pods([container("sandbox", created="1"), app], HOST)["sandbox"]
    interfaces = [
        Interface(name="lo", address="127.0.0.1", loopback=True),
        Interface(name="eth0", address="fd42::2", cidr_block=64),
    ]
    message = told(found, interfaces)
    assert message.labels == {"role": "web", "env": "prod"}
    assert [interface.address for interface in message.interfaces] == ["fd42::2"]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as running:
        yield running
        running.kill()


def started(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def runc_state(root: Path, id: str, pid: int, **changed: Any) -> Path:
    state = {
        "id": id,
        "init_process_pid": pid,
        "init_process_start": started(pid),
        "created": "2026-11-28T10:00:00Z",
        "config": {"labels": ["io.kubernetes.pod.name=web=1", "bundle=/b", "odd"]},
        **changed,
    }
    (root / id).mkdir(parents=True, exist_ok=True)
    file = root / id / "state.json"
    file.write_text(json.dumps(state))
    return file


def test_states_of_runc_and_crun(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    """Read where engines keep them, with annotations; other files there are nothing."""
    pid = process.pid
    runc_state(tmp_path / "docker" / "moby", "one", pid)
    crun = tmp_path / "crun" / "two"
    crun.mkdir(parents=True)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps({"annotations": {"a": "b"}}))
    status = {"pid": pid, "process-start-time": started(pid), "bundle": str(bundle)}
    (crun / "status").write_text(json.dumps(status))
    (tmp_path / "crun" / "three").mkdir()
    (tmp_path / "crun" / "three" / "status").write_text("{")
    (tmp_path / "crun" / "exec.fifo").write_text("")
    found = ContainerReader((f"{tmp_path}/docker/*", f"{tmp_path}/crun", "/nowhere")).read()
    assert {each.id: each.annotations for each in found} == {
        "one": {"io.kubernetes.pod.name": "web=1", "bundle": "/b"},
        "two": {"a": "b"},
    }
    assert {each.network for each in found} == {network_of(os.getpid())}


def test_a_container_that_ended_is_gone(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    """Also when its state stays, and when its number is another process's by now."""
    runc_state(tmp_path, "one", process.pid)
    runc_state(tmp_path, "two", process.pid, init_process_start=1)
    reader = ContainerReader((str(tmp_path),))
    assert [each.id for each in reader.read()] == ["one"]
    process.kill()
    process.wait()
    assert reader.read() == []


def test_a_state_is_read_again_when_it_was_written_again(
    tmp_path: Path, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not otherwise: there may be hundreds, and one is looked at every second."""
    file = runc_state(tmp_path, "one", process.pid)
    reader = ContainerReader((str(tmp_path),))
    reads: list[Path] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: reads.append(path) or read_bytes(path))
    assert [reader.read() and len(reads) for _ in range(3)] == [1, 1, 1]
    runc_state(tmp_path, "one", process.pid, config={})
    os.utime(file, ns=(1, 1))
    assert [each.annotations for each in reader.read()] == [{}]
    assert len(reads) == 2


def test_a_gate_that_the_kernel_refuses_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A kernel may lack the bridge family: it is tried with every look, and logged at the first."""

    class Refusing:
        enforced = True

        def admit(self, guards: Sequence[Any]) -> bool:
            raise KernelRefused("no bridge family")

    class Work:
        async def in_thread(self, act: Callable[..., Any], *given: Any) -> Any:
            return act(*given)

    unused: Any = mock.Mock()
    identity = mock.Mock(runtime_roots=())
    given = (DataDirectory(tmp_path), identity, unused, Work(), unused, unused, unused, unused)
    with (
        mock.patch.object(container_workloads, "PodLinks", lambda *given: Refusing()),
        mock.patch.object(container_workloads, "InterfaceEvents"),
    ):
        containers = container_workloads.ContainerWorkloads(*given)

    async def look_three_times() -> list[bool]:
        return [await containers._admit() for _ in range(3)]

    assert asyncio.run(look_three_times()) == [False] * 3
    assert [r.message for r in caplog.records] == ["links of containers: no bridge family"]
