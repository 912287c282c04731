"""The folder that holds all state of an instance, and what of it is not the store's.

``lock``              held while the instance runs, so that a second one on the same folder waits
``instance.json``     this instance's AWS key, which signs calls to the store and the loopback port
``credentials.json``  how to reach the PCE and its first org; for people and scripts
``tls/``              CA and server certificate
``store/``            tables, queues and objects (roto-server)
``store.log``         what the store said since the last start
``ven.tar.gz``        the VEN package that the pairing script installs

Everything is readable by its owner only: the folder is made with mode 0700.
"""

import fcntl
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from pce_local.atomic_files import write_atomically
from pce_local.config import StartError
from pce_local.signatures import AwsKey

LOCK_WAIT_S = 6.0
"""An instance that is stopping needs at most 5 s; one that was killed takes its store with it in
milliseconds."""


class StateDir:
    """The folder of a running instance; nobody else uses it until ``release``."""

    def __init__(self, path: Path) -> None:
        """Make the folder if need be and lock it.

        Raises:
            StartError: it cannot be made, or another instance has it for more than 6 seconds.
        """
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartError(
                f"cannot use {path} as the state folder: {error.strerror}; name another one with"
                " --state-dir"
            ) from error
        self._wait_for_lock()

    @property
    def tls(self) -> Path:
        """Folder of the certificates."""
        return self.path / "tls"

    @property
    def credentials_file(self) -> Path:
        """What a client needs to know of this instance."""
        return self.path / "credentials.json"

    @property
    def ven_packages(self) -> Path:
        """The VEN packages that this host serves, ``ven-<release>.tar.gz``; others may be added."""
        return self.path / "ven_software"

    def ven_releases(self) -> list[str]:
        """The releases that these packages are of."""
        files = self.ven_packages.glob("ven-*.tar.gz")
        return [file.name.removeprefix("ven-").removesuffix(".tar.gz") for file in files]

    def release(self) -> None:
        """Let another instance have the folder."""
        os.close(self.lock)

    def aws_key(self) -> AwsKey:
        """This instance's own AWS key, random, made at the first call."""
        file = self.path / "instance.json"
        if not file.exists():
            key = {
                "access_key": "LOCAL" + secrets.token_hex(8).upper(),
                "secret_key": secrets.token_urlsafe(32),
            }
            write_atomically(file, json.dumps(key).encode())
        return AwsKey(**json.loads(file.read_bytes()))

    def credentials(self) -> dict[str, Any]:
        """What ``credentials.json`` says; empty before the first org exists."""
        if not self.credentials_file.exists():
            return {}
        document: dict[str, Any] = json.loads(self.credentials_file.read_bytes())
        return document

    def write_credentials(self, document: dict[str, Any]) -> None:
        """Write ``credentials.json`` (mode 0600), if it says anything else now."""
        if document != self.credentials():
            content = json.dumps(document, indent=2).encode() + b"\n"
            write_atomically(self.credentials_file, content)

    def _wait_for_lock(self) -> None:
        # The store's process inherits the lock: it is free only when both are gone, so that two
        # stores can never have the same files open.
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StartError(
                        f"{self.path} is in use by another pce-local; stop it, or name another"
                        " folder with --state-dir"
                    ) from None
                time.sleep(0.05)  # seconds
