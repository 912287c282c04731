"""A Kerberos realm of the tests' own: MIT's KDC on a loopback port, its files in one folder."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from tests.fakes.pce import wait_until

REALM = "SEGMENT.TEST"
PROGRAMS = ("krb5kdc", "kdb5_util", "kadmin.local")


def found() -> bool:
    """Whether the KDC is installed."""
    return all(_program(name) for name in PROGRAMS)


@dataclass
class Realm:
    """A realm with a running KDC."""

    folder: Path
    environment: dict[str, str]
    kdc: subprocess.Popen[bytes] | None = None

    def keytab(self, *principals: str, name: str = "") -> Path:
        """Make principals with random keys; a keytab that holds them."""
        file = self.folder / f"{name or principals[0].replace('/', '_')}.keytab"
        for principal in principals:
            self._admin(f"addprinc -randkey {principal}")
            self._admin(f"ktadd -k {file} {principal}")
        return file

    def stop(self) -> None:
        """The KDC is gone."""
        if self.kdc is not None:
            self.kdc.kill()
            self.kdc.wait()

    def _admin(self, query: str) -> None:
        self.run("kadmin.local", "-q", query)

    def run(self, program: str, *arguments: str) -> None:
        """One of MIT's programs, in this realm."""
        command = [_program(program), *arguments]
        subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=30)


@contextmanager
def realm(folder: Path) -> Iterator[Realm]:
    """A new realm; this process's Kerberos library finds it by its environment."""
    port = _free_port()
    (folder / "krb5.conf").write_text(
        f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n"
        f" dns_lookup_realm = false\n rdns = false\n dns_canonicalize_hostname = false\n"
        f"[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n"
        f"[domain_realm]\n localhost = {REALM}\n"
    )
    (folder / "kdc.conf").write_text(
        f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n"
        f"[realms]\n {REALM} = {{\n  database_name = {folder}/principal\n"
        f"  key_stash_file = {folder}/stash\n  acl_file = {folder}/acl\n }}\n"
        f"[logging]\n kdc = FILE:{folder}/kdc.log\n"
    )
    settings = {
        "KRB5_CONFIG": str(folder / "krb5.conf"),
        "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
    }
    made = Realm(folder, {**os.environ, **settings})
    made.run("kdb5_util", "create", "-s", "-P", "master", "-r", REALM)
    kdc = subprocess.Popen([_program("krb5kdc"), "-n"], env=made.environment)
    made.kdc = kdc
    try:
        wait_until("the KDC", lambda: _listens(port))
        with mock.patch.dict(os.environ, settings):
            yield made
    finally:
        made.stop()


def _program(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
