"""Becoming a VEN, and ceasing to be one."""

import random
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from ven.configuration import Identity, Server
from ven.core.kernel import Kernel
from ven.edge.files import DataDirectory, NotActivated
from ven.edge.host import machine_id
from ven.edge.http import PceConnection, Refused, RequestFailed, trust
from ven.edge.pce import Pce, activate
from ven_protocol.messages import (
    Activate,
    Activated,
    ClusterMembership,
    Deactivate,
    EnforcementMode,
    HostFacts,
)
from ven_protocol.policy import PolicyDocument, Rule, Service

MODES: dict[str, EnforcementMode] = {
    "idle": "idle",
    "visibility_only": "visibility_only",
    "illuminated": "visibility_only",
    "selective": "selective",
    "full": "full",
    "enforced": "full",
}
"""Words for the enforcement mode, the older ones of operators' scripts among them."""


RESTORES: dict[str, Literal["recommended", "saved", "open"]] = {
    "recommended": "recommended",
    "saved": "saved",
    "open": "open",
}

_ANYBODY = "anybody"
SSH_AND_ICMP_ONLY = PolicyDocument(
    mode="full",
    visibility="flow_off",
    sets={_ANYBODY: ["0.0.0.0/0", "::/0"]},
    rules=[
        Rule(
            id="ssh-and-icmp",
            direction="in",
            action="allow",
            peers=[_ANYBODY],
            services=[Service(proto=6, port=22), Service(proto=1), Service(proto=58)],
        ),
        Rule(
            id="outbound",
            direction="out",
            action="allow",
            peers=[_ANYBODY],
            services=[Service(proto=-1)],
        ),
    ],
)
"""What ``unpair recommended`` leaves behind until the host is started again."""


BUSY_ATTEMPTS, BUSY_WAIT_S = 30, 1.0
"""Many machines that use one code at once wait for each other; a second each, on average."""


class AlreadyActivated(Exception):
    """The data directory belongs to a VEN that is paired."""


def become_ven(
    data: DataDirectory,
    kernel: Kernel,
    host: HostFacts,
    server: Server,
    activation_code: str,
    ca_file: Path | None = None,
    mode: EnforcementMode | None = None,
    labels: Mapping[str, str] | None = None,
    *,
    cluster: ClusterMembership | None = None,
    runtime_roots: Iterable[str] = (),
    kerberos: bool = False,
) -> Identity:
    """Exchange the activation code for an identity and keep it. With a ``cluster`` this becomes a
    container host; ``runtime_roots``: where its runtimes keep their state, if not where most do.

    Raises :class:`AlreadyActivated`, OSError for an unreadable CA file, and what a request raises.
    A request without an answer is not repeated, because the code may be used up by it; one that the
    PCE was too busy for is, for half a minute.
    """
    data.create()
    try:
        paired = data.identity()
    except NotActivated:
        pass
    else:
        raise AlreadyActivated(f"{data.path} is {paired.ven_href} of {paired.server}; unpair first")
    trusted = str(ca_file.resolve()) if ca_file else ""
    connection = PceConnection(server, trust(trusted))
    message = Activate(
        activation_code=activation_code,
        host=host,
        interfaces=kernel.interfaces(),
        machine_id=machine_id(),
        enforcement_mode=mode,
        labels=dict(labels or {}),
        ven_type="containerized" if cluster else "server",
        container_cluster=cluster,
    )
    try:
        activated = _activate(connection, message)
    finally:
        connection.close()
    identity = Identity(
        server=str(server),
        ca_file=str(data.save_ca(ca_file.read_bytes())) if ca_file else "",
        ven_href=activated.ven_href,
        workload_href=activated.workload_href,
        agent_token=activated.agent_token,
        kerberos=kerberos,
        settings=activated.settings,
        containers=cluster is not None,
        runtime_roots=tuple(runtime_roots),
    )
    data.save_identity(identity)
    kernel.prepare()
    return identity


def _activate(connection: PceConnection, message: Activate) -> Activated:
    for _ in range(BUSY_ATTEMPTS - 1):
        try:
            return activate(connection, message)
        except Refused as error:
            if "activation_busy" not in error.tokens:
                raise
        time.sleep(BUSY_WAIT_S * 2 * random.random())  # noqa: S311  spread, not secrecy
    return activate(connection, message)


@contextmanager
def connected(identity: Identity) -> Iterator[Pce]:
    """A connection for single requests from the command line. Raises Unreachable."""
    server = Server.parse(identity.server)
    pce = Pce(identity, PceConnection(server, trust(identity.ca_file), identity.agent_token))
    try:
        yield pce
    finally:
        pce.close()


def leave(data: DataDirectory, kernel: Kernel, restore: str) -> str:
    """Tell the PCE and take the VEN off this host; the agent must not be running.

    Returns why the PCE could not be told, or "": the host is left either way. Raises
    :class:`~ven.edge.files.NotActivated` and :class:`~ven.core.kernel.KernelRefused`.
    """
    identity = data.identity()
    why = ""
    try:
        with connected(identity) as pce:
            pce.deactivate(Deactivate(firewall_restore=RESTORES[restore]))
    except RequestFailed as error:
        why = str(error)
    clear(data, kernel, restore)
    return why


def release_containers(data: DataDirectory) -> None:
    """On a container host, take our rules out of every container; the agent must not be running."""
    try:
        identity = data.identity()
    except NotActivated:
        return
    if identity.containers:
        from ven.container_workloads import release_all

        release_all(data, identity)


def clear(data: DataDirectory, kernel: Kernel, restore: str) -> None:
    """Leave the firewall as ``restore`` says and forget who this VEN was.

    ``recommended`` (the API says ``default``): only SSH and ICMP come in, until the host is started
    again. ``saved`` and ``open`` (``disable``): as it was before pairing, because the VEN only ever
    added a table of its own; rules of others stay. Raises
    :class:`~ven.core.kernel.KernelRefused`.
    """
    release_containers(data)
    if restore in ("recommended", "default"):
        kernel.apply(SSH_AND_ICMP_ONLY)
    else:
        kernel.remove()
    data.forget_all()
