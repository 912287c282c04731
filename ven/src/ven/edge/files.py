"""The data directory: everything that a VEN must still know after it was killed.

::

    identity.json         who this VEN is, its token (0600)
    policy.json           last-known-good policy, its etag and digest
    policy.previous.json  the one before
    sequence              number of the newest flow batch
    flows/<number>.batch  flow batches that the PCE has not taken yet
    actions.json          ids of actions carried out
    upgrade.json          the upgrade under way
    maintenance.json      digests of the maintenance tokens that open local commands
    namespaces.json       which namespaces of containers are enforced
    names.json            addresses of domain names in the policy, for a start without DNS
    addresses.json        where the PCE was found last, for a start without DNS
    suspended             present while the VEN is suspended
    unsuspended           present until the PCE has heard that it is not any more
    status.json           what ``ven status`` shows; for people, may be old
    agent.lock            locked by the running agent, holds its process id
    log/                  agent.log, vtap.log

Each file is replaced as a whole (write, fsync, rename, fsync the directory), so it is the old or
the new one whenever the power fails. The directory is readable by its owner only.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from ven.configuration import Identity
from ven.core.outbox import Batch
from ven.core.upgrade import UnderWay
from ven_protocol.maintenance import Accepted
from ven_protocol.policy import PolicyDocument, policy_digest

_Document = TypeVar("_Document")


class AlreadyRunning(Exception):
    """Another agent holds the data directory's lock."""


class NotActivated(Exception):
    """There is no identity in the data directory."""


class KeptPolicy(Struct, frozen=True):
    """A policy on disk."""

    etag: str
    digest: str
    """:func:`policy_digest` of the document; another one means that the file is damaged."""
    document: PolicyDocument


class Status(Struct, frozen=True, kw_only=True):
    """What ``ven status`` shows."""

    pid: int
    mode: str
    enforcement_mode: str = ""
    applied_etag: str = ""
    bolts: str = ""
    last_heartbeat: str = ""
    """RFC 3339 time of the last answered heartbeat."""
    batches_waiting: int = 0
    health: tuple[str, ...] = ()
    """What is wrong, a line each."""


class DataDirectory:
    """Reads and writes the files named above. Methods block for a disk write (fsync) at most."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def create(self) -> None:
        """Make the directory and its folders, for the owner only."""
        for folder in (self.path, self.path / "log", self.path / "flows"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)

    # Identity

    def identity(self) -> Identity:
        """Who this VEN is; raises :class:`NotActivated`."""
        identity = self._read("identity.json", Identity)
        if identity is None:
            raise NotActivated(
                f"no VEN is activated in {self.path}: run 'ven --data-dir {self.path} activate"
                " --management-server HOST:PORT --activation-code CODE'"
            )
        return identity

    def save_identity(self, identity: Identity) -> None:
        """Keep the identity; it holds the token, hence mode 0600."""
        self._write("identity.json", msgspec.json.encode(identity))

    def forget_all(self) -> None:
        """Remove identity, policy and flows: the VEN is no longer paired. Logs stay."""
        names = (
            "identity.json", "policy.json", "policy.previous.json", "actions.json",
            "names.json", "addresses.json", "suspended", "unsuspended", "status.json", "ca.pem",
            "upgrade.json", "maintenance.json", "namespaces.json",
        )  # fmt: skip
        for name in names:
            (self.path / name).unlink(missing_ok=True)
        for batch in self.batches():
            self.forget_batch(batch.seq)

    def save_ca(self, pem: bytes) -> Path:
        """Keep the private authority's certificate, so that no other file is needed later."""
        self._write("ca.pem", pem)
        return self.path / "ca.pem"

    # Policy

    def policy(self) -> KeptPolicy | None:
        """The last-known-good policy, or the one before it when that is damaged, or None."""
        for name in ("policy.json", "policy.previous.json"):
            kept = self._read(name, KeptPolicy)
            if kept is not None and policy_digest(kept.document) == kept.digest:
                return kept
        return None

    def save_policy(self, etag: str, document: PolicyDocument) -> None:
        """Make this the last-known-good policy; call it once the kernel has it."""
        current = self.path / "policy.json"
        if current.exists():
            current.replace(self.path / "policy.previous.json")
        kept = KeptPolicy(etag, policy_digest(document), document)
        self._write("policy.json", msgspec.json.encode(kept))

    # Flow batches

    def next_sequence(self) -> int:
        """A number that no batch of this VEN ever had; kept before it is used."""
        newest = max((batch.seq for batch in self.batches()), default=0)
        number = max(newest, self._read("sequence", int) or 0) + 1
        self._write("sequence", msgspec.json.encode(number))
        return number

    def save_batch(self, seq: int, content: bytes) -> Batch:
        """Keep a batch until :meth:`forget_batch`."""
        self._write(f"flows/{seq:012}.batch", content)
        return Batch(seq, len(content))

    def batches(self) -> tuple[Batch, ...]:
        """What is kept, oldest first."""
        files = sorted((self.path / "flows").glob("*.batch"))
        return tuple(Batch(int(file.stem), file.stat().st_size) for file in files)

    def batch(self, seq: int) -> bytes | None:
        """The content of a kept batch."""
        try:
            return (self.path / f"flows/{seq:012}.batch").read_bytes()
        except FileNotFoundError:
            return None

    def forget_batch(self, seq: int) -> None:
        """The batch is not needed any more."""
        (self.path / f"flows/{seq:012}.batch").unlink(missing_ok=True)

    # Small things

    def done_actions(self) -> tuple[str, ...]:
        """Ids of actions that were carried out, oldest first."""
        return self._read("actions.json", tuple[str, ...]) or ()

    def save_done_actions(self, ids: tuple[str, ...]) -> None:
        """Remember across restarts what was carried out."""
        self._write("actions.json", msgspec.json.encode(ids))

    def upgrade(self) -> UnderWay | None:
        """The upgrade that was begun and whose end was not reported."""
        return self._read("upgrade.json", UnderWay)

    def save_upgrade(self, under_way: UnderWay) -> None:
        """Remember it for the processes that follow."""
        self._write("upgrade.json", msgspec.json.encode(under_way))

    def forget_upgrade(self) -> None:
        """It has ended."""
        (self.path / "upgrade.json").unlink(missing_ok=True)

    def maintenance_tokens(self) -> tuple[Accepted, ...]:
        """Tokens that open local commands, by their digests; some may have expired."""
        found = map(Accepted.parse, self._read("maintenance.json", tuple[str, ...]) or ())
        return tuple(accepted for accepted in found if accepted is not None)

    def accept_token(self, accepted: Accepted, now: float) -> None:
        """Let this token open local commands too; those that have expired are forgotten."""
        kept = [each for each in self.maintenance_tokens() if each.expires_at > now]
        kept = [*(each for each in kept if each != accepted), accepted]
        self._write("maintenance.json", msgspec.json.encode([str(each) for each in kept]))

    def pce_addresses(self) -> tuple[tuple[str, int], ...]:
        """Addresses and ports at which the PCE was reached last."""
        return self._read("addresses.json", tuple[tuple[str, int], ...]) or ()

    def save_pce_addresses(self, addresses: tuple[tuple[str, int], ...]) -> None:
        """Remember where the PCE is."""
        self._write("addresses.json", msgspec.json.encode(addresses))

    def remembered_names(self) -> dict[str, list[str]]:
        """Domain names, and the addresses that they meant last."""
        return self._read("names.json", dict[str, list[str]]) or {}

    def save_remembered_names(self, names: dict[str, list[str]]) -> None:
        """Remember what names mean; may be lost in a crash of the host."""
        self._write("names.json", msgspec.json.encode(names), durable=False)

    def namespaces(self) -> dict[str, bool]:
        """Namespaces of containers, and whether their pods are enforced."""
        return self._read("namespaces.json", dict[str, bool]) or {}

    def save_namespaces(self, enforced: dict[str, bool]) -> None:
        """Remember it for pods that start before the PCE has spoken of them."""
        self._write("namespaces.json", msgspec.json.encode(enforced))

    @property
    def suspended(self) -> bool:
        """Whether the VEN was suspended: it neither enforces nor starts."""
        return (self.path / "suspended").exists()

    def suspend(self) -> None:
        """Remember across restarts that the VEN is suspended."""
        self._write("suspended", b"")
        (self.path / "unsuspended").unlink(missing_ok=True)

    def unsuspend(self) -> None:
        """It is not any more; the PCE may not know."""
        self._write("unsuspended", b"")
        (self.path / "suspended").unlink(missing_ok=True)

    @property
    def unsuspended_untold(self) -> bool:
        """Whether the PCE may still take this VEN for suspended, and so for silent on purpose."""
        return (self.path / "unsuspended").exists()

    def unsuspended_told(self) -> None:
        """The PCE knows."""
        (self.path / "unsuspended").unlink(missing_ok=True)

    def status(self) -> Status | None:
        """What the agent wrote last; it may have died since."""
        return self._read("status.json", Status)

    def save_status(self, status: Status) -> None:
        """For ``ven status``; may be lost in a crash of the host."""
        self._write("status.json", msgspec.json.encode(status), durable=False)

    # One agent at a time

    def lock(self) -> None:
        """Claim the directory for this process until it ends; raises :class:`AlreadyRunning`."""
        descriptor = os.open(self.path / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise AlreadyRunning(f"a VEN already runs on {self.path}") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._lock = descriptor

    def unlock(self) -> None:
        """Give the directory back; done by the kernel when the process ends."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def running_pid(self) -> int | None:
        """Process id of the agent that holds the lock, or None when none does."""
        try:
            descriptor = os.open(self.path / "agent.lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.read(descriptor, 32) or b"0") or None
        else:
            return None
        finally:
            os.close(descriptor)

    def _read(self, name: str, kind: type[_Document]) -> _Document | None:
        """The file's content, or None when it is missing or damaged."""
        try:
            return msgspec.json.decode((self.path / name).read_bytes(), type=kind)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def _write(self, name: str, content: bytes, durable: bool = True) -> None:
        target = self.path / name
        fresh = target.with_name(target.name + ".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        fresh.replace(target)
        if durable:
            self._sync(target.parent)

    @staticmethod
    def _sync(folder: Path) -> None:
        with contextlib.suppress(OSError):  # some file systems cannot sync a directory
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
