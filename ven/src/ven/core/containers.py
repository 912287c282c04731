"""Which containers are one workload, and what is told of them.

Theory: containers that share a network are one pod: they have one address and one firewall. Those
that use the host's network are the host. A pod has the name and namespace that Kubernetes gave it
(annotations of its runtime), else those of its oldest container and ``default``; the id is the
oldest container's too, which is the sandbox where there is one, and stays for as long as the pod.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from ven_protocol.messages import ContainerWorkload, Interface

NAMES = ("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name")
NAMESPACES = ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace")
IMAGES = ("io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName")
"""Annotations of containerd and of CRI-O."""
LABEL_PREFIXES = ("com.illumio.", "ven.label/")
"""Annotations ``<prefix><label key>: <value>`` by which a pod chooses labels; the first is what
manifests for compatible products say."""

MAX_TEXT = 255


class Container(Struct, frozen=True, kw_only=True):
    """A container that runs, as its runtime's state says."""

    id: str
    pid: int
    network: int
    """Inode of its network namespace."""
    created: str = ""
    """RFC 3339; sorts by time."""
    annotations: Mapping[str, str] = {}


class Pod(Struct, frozen=True, kw_only=True):
    """Containers with one network."""

    id: str
    pid: int
    """Of one of its processes: its network is found through it."""
    network: int
    name: str
    namespace: str = ""
    image: str = ""
    labels: Mapping[str, str] = {}


def pods(containers: Iterable[Container], host_network: int) -> dict[str, Pod]:
    """Pods by id; none for what runs in the host's own network."""
    together: dict[int, list[Container]] = {}
    for container in sorted(containers, key=lambda each: (each.created, each.id)):
        if container.network != host_network:
            together.setdefault(container.network, []).append(container)
    return {members[0].id: _pod(members) for members in together.values()}


def _pod(members: list[Container]) -> Pod:
    oldest = members[0]
    said: dict[str, str] = {}
    for member in reversed(members):
        said |= member.annotations
    labels = {
        name.removeprefix(prefix): value[:MAX_TEXT]
        for name, value in sorted(said.items())
        for prefix in LABEL_PREFIXES
        if name.startswith(prefix) and name != prefix and value
    }
    return Pod(
        id=oldest.id[:MAX_TEXT],
        pid=oldest.pid,
        network=oldest.network,
        name=(_first(said, NAMES) or oldest.id)[:MAX_TEXT],
        namespace=_first(said, NAMESPACES)[:253],
        image=_first(said, IMAGES)[:1024],
        labels=dict(list(labels.items())[:64]),
    )


def _first(said: Mapping[str, str], names: Iterable[str]) -> str:
    return next((said[name] for name in names if said.get(name)), "")


def told(pod: Pod, interfaces: Iterable[Interface]) -> ContainerWorkload:
    """What the PCE is told of a pod. Its loopback is nobody's address."""
    return ContainerWorkload(
        id=pod.id,
        name=pod.name,
        namespace=pod.namespace,
        image=pod.image,
        interfaces=[interface for interface in interfaces if not interface.loopback],
        labels=dict(pod.labels),
    )
