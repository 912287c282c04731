"""The ``ven`` command. Exit status 0: done; 1: could not; 2: wrong use.

::

    ven --data-dir D activate --management-server HOST:PORT --activation-code CODE
    ven --data-dir D start [--foreground]
    ven --data-dir D stop | restart | status | suspend | unsuspend | workloads | connectivity-test
    ven --data-dir D unpair recommended|saved|open
    ven --data-dir D gen-supportreport [--upload] [--output FILE]

Modules that only one subcommand needs are imported by it: the agent's memory is what ``start``
imports.
"""

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from ven.agent_process import (
    BOOT_UNIT,
    UNIT,
    CannotDo,
    await_start,
    has_unit,
    hostname,
    run,
    start_in_background,
    stop_agent,
)
from ven.configuration import (
    DATA_DIRECTORY_VARIABLE,
    DEFAULT_DATA_DIRECTORY,
    VERSION,
    InvalidServer,
    Server,
)
from ven.core.kernel import Kernel, KernelRefused
from ven.edge.files import AlreadyRunning, DataDirectory, NotActivated
from ven.edge.host import host_facts
from ven.edge.http import RequestFailed
from ven.edge.simulated import SimulatedKernel
from ven_protocol.messages import ClusterMembership

TOKEN_VARIABLE = "VEN_MAINTENANCE_TOKEN"  # noqa: S105  its name
CODE_VARIABLE = "VEN_RECOVERY_CODE"
"""So that the token is not seen in a list of processes."""
EXPECTED = (
    *(CannotDo, NotActivated, AlreadyRunning, InvalidServer),
    *(RequestFailed, KernelRefused, OSError),
)
"""What can go wrong without being a bug; its text says all that a person needs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace, DataDirectory], int] = options.command
    try:
        if command in GUARDED:
            _require_token(options, DataDirectory(options.data_dir))
        return command(options, DataDirectory(options.data_dir))
    except EXPECTED as error:
        print(f"ven: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ven", description="Virtual Enforcement Node for Linux.")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get(DATA_DIRECTORY_VARIABLE) or DEFAULT_DATA_DIRECTORY),
        help=f"where this VEN keeps what it knows (default: ${DATA_DIRECTORY_VARIABLE} or"
        f" {DEFAULT_DATA_DIRECTORY})",
    )
    parser.add_argument(
        "--simulate", action="store_true", help="use a kernel in memory; needs no root"
    )
    parser.add_argument(
        "--simulated-host",
        metavar="NAME=ADDRESS/PREFIX[,ADDRESS/PREFIX...]",
        default="",
        help="name and addresses of the simulated host; implies --simulate",
    )
    parser.add_argument(
        "--maintenance-token",
        metavar="TOKEN",
        default=os.environ.get(TOKEN_VARIABLE, ""),
        help="what stop, restart, suspend and unpair need where the organisation wants one"
        f" (default: ${TOKEN_VARIABLE})",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    activate = commands.add_parser("activate", help="pair this host with a PCE")
    activate.add_argument("--management-server", required=True, metavar="HOST:PORT")
    activate.add_argument("--activation-code", required=True, metavar="CODE")
    activate.add_argument("--ca-file", type=Path, metavar="FILE", help="the PCE's private CA")
    activate.add_argument("--mode", metavar="MODE", help="idle, visibility_only, selective or full")
    activate.add_argument("--container-cluster", metavar="ID", help="become a container host of it")
    activate.add_argument("--cluster-token", metavar="TOKEN", help="shown when it was created")
    activate.add_argument(
        "--runtime-root",
        action="append",
        default=[],
        metavar="DIR",
        help="where a container runtime keeps its state, if not in a usual place",
    )
    activate.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    activate.add_argument(
        "--kerberos",
        action="store_true",
        help="renew a refused token by a ticket from this host's keytab",
    )
    activate.set_defaults(command=_activate)

    start = commands.add_parser("start", help="enforce and report")
    start.add_argument("--foreground", action="store_true", help="stay until stopped")
    start.set_defaults(command=_start)

    unpair = commands.add_parser("unpair", help="leave the PCE for good")
    unpair.add_argument("restore", choices=("recommended", "saved", "open"))
    unpair.set_defaults(command=_unpair)

    report = commands.add_parser("gen-supportreport", help="collect what support needs to see")
    report.add_argument("--upload", action="store_true", help="send it to the PCE")
    report.add_argument("--output", type=Path, metavar="FILE")
    report.set_defaults(command=_support_report)

    recover = commands.add_parser("recover", help="get a new token, when the PCE refuses this one")
    recover.add_argument(
        "--code",
        metavar="CODE",
        default=os.environ.get(CODE_VARIABLE, ""),
        help=f"from PUT vens/authentication_recovery (default: ${CODE_VARIABLE})",
    )
    recover.set_defaults(command=_recover)

    for name, command, text in (
        ("stop", _stop, "stop enforcing changes and say goodbye; the policy stays in force"),
        ("restart", _restart, "stop and start again"),
        ("status", _status, "show what the VEN does"),
        ("suspend", _suspend, "remove all rules and stop, until unsuspend"),
        ("unsuspend", _unsuspend, "enforce again and start"),
        ("connectivity-test", _connectivity_test, "try to reach the PCE, step by step"),
        ("load-policy", _load_policy, "put the last-known-good policy into the kernel, at boot"),
        ("workloads", _workloads, "show the workload that this host is"),
        ("version", _version, "show the version"),
    ):
        commands.add_parser(name, help=text).set_defaults(command=command)
    return parser


def _require_token(options: argparse.Namespace, data: DataDirectory) -> None:
    from ven.maintenance import TokenRefused, require_token

    name = options.command.__name__.removeprefix("_")
    try:
        require_token(data, data.identity(), name, options.maintenance_token)
    except TokenRefused as error:
        raise CannotDo(str(error)) from error


def _kernel(options: argparse.Namespace, data: DataDirectory) -> Kernel:
    """The kernel to act on; the data directory must exist."""
    if options.simulate or options.simulated_host:
        name, _, addresses = options.simulated_host.partition("=")
        if addresses:
            return SimulatedKernel(hostname=name, addresses=addresses.split(","))
        return SimulatedKernel(hostname=name)
    if os.geteuid() != 0:
        raise CannotDo("the firewall needs root: use sudo, or --simulate to try without it")
    from ven.edge.linux import LinuxKernel

    return LinuxKernel(data.path)


def _activate(options: argparse.Namespace, data: DataDirectory) -> int:
    from ven.activation import MODES, AlreadyActivated, become_ven

    if options.mode is not None and options.mode not in MODES:
        raise CannotDo(f"--mode {options.mode}: choose one of {', '.join(MODES)}")
    labels = dict(label.partition("=")[::2] for label in options.label)
    if not all(key and value for key, value in labels.items()):
        raise CannotDo("--label: give it as KEY=VALUE")
    if bool(options.container_cluster) != bool(options.cluster_token):
        raise CannotDo("--container-cluster and --cluster-token go together")
    cluster = None
    if options.container_cluster:
        if options.simulate or options.simulated_host:
            raise CannotDo("a simulated host has no containers")
        id = options.container_cluster.rstrip("/").rpartition("/")[2]  # its href will do, too
        cluster = ClusterMembership(id=id, token=options.cluster_token)
    data.create()
    kernel = _kernel(options, data)
    try:
        identity = become_ven(
            data,
            kernel,
            host_facts(hostname(kernel)),
            Server.parse(options.management_server),
            options.activation_code,
            options.ca_file,
            MODES[options.mode] if options.mode else None,
            labels,
            cluster=cluster,
            runtime_roots=options.runtime_root,
            kerberos=options.kerberos,
        )
    except AlreadyActivated as error:
        raise CannotDo(str(error)) from error
    print(f"activated: this host is {identity.workload_href} of {identity.server}")
    return 0


def _start(options: argparse.Namespace, data: DataDirectory) -> int:
    data.identity()
    if data.suspended:
        raise CannotDo("this VEN is suspended: run 'ven unsuspend' first")
    if options.foreground:
        run(data, lambda: _kernel(options, data))
    if data.running_pid():
        print("the VEN runs already")
        return 0
    if has_unit(data):
        subprocess.run(["systemctl", "start", UNIT], check=True)
    else:
        flags = ["--simulate"] if options.simulate else []
        flags += ["--simulated-host", options.simulated_host] if options.simulated_host else []
        start_in_background(data, flags)
    print(f"the VEN runs, process {await_start(data)}")
    return 0


def _stop(options: argparse.Namespace, data: DataDirectory) -> int:
    if not stop_agent(data):
        print("the VEN does not run")
        return 0
    print("stopped; the policy stays in force")
    return 0


def _restart(options: argparse.Namespace, data: DataDirectory) -> int:
    data.identity()
    stop_agent(data)
    options.foreground = False
    return _start(options, data)


def _recover(options: argparse.Namespace, data: DataDirectory) -> int:
    """The policy stays in force all the while; a VEN that ran is started again."""
    from ven.activation import connected

    if not options.code:
        raise CannotDo(f"--code or ${CODE_VARIABLE} is needed: the operator of the PCE has it")
    identity = data.identity()
    with connected(identity) as pce:
        token = pce.recover(options.code)
    runs = data.running_pid() is not None
    if runs:
        stop_agent(data)
    data.save_identity(msgspec.structs.replace(identity, agent_token=token))
    print("recovered: this VEN has a new token")
    options.foreground = False
    return _start(options, data) if runs else 0


def _status(options: argparse.Namespace, data: DataDirectory) -> int:
    identity, pid, status = data.identity(), data.running_pid(), data.status()
    running = f"running (process {pid})" if pid else "stopped"
    print(f"VEN            {'suspended' if data.suspended else running}")
    print(f"version        {VERSION}")
    print(f"PCE            {identity.server}")
    print(f"workload       {identity.workload_href}")
    if pid and status is not None:
        print(f"mode           {status.mode}")
        print(f"enforcement    {status.enforcement_mode or 'no policy yet'}")
        print(f"policy         {status.applied_etag or '-'}")
        print(f"bolts          {status.bolts}")
        print(f"last heartbeat {status.last_heartbeat or '-'}")
        print(f"flow batches   {status.batches_waiting} waiting")
        for line in status.health:
            print(f"wrong          {line}")
    return 0 if pid or data.suspended else 1


def _suspend(options: argparse.Namespace, data: DataDirectory) -> int:
    from ven.activation import connected, release_containers

    identity = data.identity()
    kernel = _kernel(options, data)
    # First on disk: from here on the VEN neither starts nor says goodbye, whatever happens next.
    data.suspend()
    try:
        with connected(identity) as pce:
            pce.suspend()
    except RequestFailed as error:
        print(f"ven: the PCE was not told: {error}", file=sys.stderr)
    stop_agent(data)
    release_containers(data)
    kernel.remove()
    print("suspended: no rules of this VEN are in force; 'ven unsuspend' undoes it")
    return 0


def _unsuspend(options: argparse.Namespace, data: DataDirectory) -> int:
    from ven.activation import connected

    identity = data.identity()
    data.unsuspend()
    try:
        with connected(identity) as pce:
            pce.unsuspend()
        data.unsuspended_told()
    except RequestFailed as error:
        print(f"ven: the PCE was not told, the VEN will: {error}", file=sys.stderr)
    options.foreground = False
    return _start(options, data)


def _unpair(options: argparse.Namespace, data: DataDirectory) -> int:
    from ven.activation import leave

    data.identity()
    kernel = _kernel(options, data)
    stop_agent(data)
    if has_unit(data):
        subprocess.run(["systemctl", "disable", "--quiet", UNIT, BOOT_UNIT], check=False)
    why = leave(data, kernel, options.restore)
    if why:
        print(f"ven: the PCE was not told: {why}", file=sys.stderr)
    print(f"unpaired; firewall: {options.restore}")
    return 0


def _connectivity_test(options: argparse.Namespace, data: DataDirectory) -> int:
    from ven.connectivity import steps

    failed = False
    for step in steps(data.identity(), agent_runs=data.running_pid() is not None):
        print(f"{'ok    ' if step.passed else 'FAILED'} {step.name}: {step.detail}")
        failed = failed or not step.passed
    return 1 if failed else 0


def _support_report(options: argparse.Namespace, data: DataDirectory) -> int:
    from ven.activation import connected
    from ven.edge.http import upload
    from ven.support_report import ReportTooLarge, write

    identity = data.identity()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = options.output or data.path / f"support_report-{socket.gethostname()}-{stamp}.tar.gz"
    report = write(target, data, _kernel(options, data), identity)
    print(report.path)
    if options.upload:
        try:
            request = report.request()
        except ReportTooLarge as error:
            raise CannotDo(str(error)) from error
        with connected(identity) as pce:
            upload(pce.support_report(request), report.path, identity.ca_file)
        print("uploaded")
    return 0


def _load_policy(options: argparse.Namespace, data: DataDirectory) -> int:
    from ven.enforcement import load_last_known_good

    if data.suspended:
        print("suspended: no policy is loaded")
        return 0
    held = load_last_known_good(data, _kernel(options, data))
    if data.identity().containers:
        from ven.pod_links import close_at_boot

        close_at_boot(data, held.document.mode if held else "")
    print(f"policy {held.etag} is in the kernel" if held else "there is no policy to load")
    return 0


def _workloads(options: argparse.Namespace, data: DataDirectory) -> int:
    identity, kept = data.identity(), data.policy()
    print(f"workload       {identity.workload_href}")
    print(f"hostname       {host_facts().hostname}")
    print(f"enforcement    {kept.document.mode if kept else 'no policy yet'}")
    print(f"visibility     {kept.document.visibility if kept else '-'}")
    return 0


def _version(options: argparse.Namespace, data: DataDirectory) -> int:
    print(VERSION)
    return 0


GUARDED = (_stop, _restart, _suspend, _unpair)
"""What stops or weakens the VEN: it needs a maintenance token where the organisation wants one."""


if __name__ == "__main__":
    sys.exit(main())
