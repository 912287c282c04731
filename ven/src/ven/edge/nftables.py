"""The VEN's firewall: one nftables table, ``inet ven``, and what the kernel holds of it.

Theory: the desired table and the kernel's stand side by side, and the kernel is led from one policy
to the next so that at every instant it is no more open than both:

- When only members of sets differ, they go to the kernel as one netlink batch. It names the
  generation that it was computed for, so a change by anybody else in between is an error and not a
  surprise.
- Otherwise new sets are made beside the old ones, which nobody notices, and then one ``nft -f -``
  replaces the rules by rules that use them.

Either way a new epoch begins (``ven.core.mark``), so established connections are judged again. The
epoch and the rules only ever change when the sets that they look into have been settled before: the
kernel switches hash sets and rules at one instant, but interval sets some microseconds later.
"""

import contextlib
import errno
import hashlib
import itertools
import re
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from ven.core.address_sets import AddressSet
from ven.core.counting import COUNTED, SIDES, Counted, counting_set, kept_sets, user_set
from ven.core.kernel import Attempts, Drop, KernelRefused, Untold
from ven.core.mark import epoch_of, free_epochs
from ven.core.ruleset import (
    Held,
    MemberChanges,
    Ruleset,
    changed_sets,
    member_changes,
    with_kernel_names,
)
from ven.core.services import FAMILIES
from ven.core.table import TABLE, Volatile, chain_names, replacing, table_text
from ven.edge import nft_messages as nft
from ven.edge.conntrack import live_marks
from ven.edge.counted import Service, counted_attempts, used_service
from ven.edge.netlink import (
    NETFILTER_HEADER_BYTES,
    NETLINK_NETFILTER,
    NetlinkError,
    NetlinkSocket,
    netfilter_header,
)
from ven.edge.sysctl import SavedSettings

NFT_TIMEOUT_S = 60
"""For one nft program: 100,000 addresses take 0.3 s; a machine that swaps takes longer."""

_Kind = TypeVar("_Kind", bound=Attempts)

SETTLE_S = 0.05
"""After the counting sets were exchanged, packets that were under way still count into the old
ones for some microseconds."""

LOADS, BETWEEN_LOADS_S = 5, 0.02
"""A ruleset is loaded so often at most while others commit, with 0.02, 0.04 ... s in between."""

_ERESTART = 85
"""The kernel's answer to a batch computed for another generation (not in ``errno`` everywhere)."""


class Firewall:
    """One network namespace's table ``inet ven``, as this process knows it.

    Sees to it that the table is either wholly there or wholly absent. May be used from several
    threads, one call at a time (the others wait).
    """

    def __init__(self, state_dir: Path, nft_program: str = "nft") -> None:
        """``state_dir`` keeps the old values of sysctls. Needs CAP_NET_ADMIN."""
        self._nft = nft_program
        self._settings = SavedSettings(state_dir / "sysctl.json")
        self._netlink = NetlinkSocket(NETLINK_NETFILTER)
        self._lock = threading.RLock()
        self._held: Held | None = None
        self._generation = 0
        self._rules_digest = b""
        self._elements_suspect = False
        self._unsure = False
        """Somebody committed while we looked what our own commit had made: perhaps to our table."""
        self._epochs: Iterator[int] = iter(())
        self._filling: dict[Counted, str] = dict.fromkeys(COUNTED, SIDES[0])
        self._sampling = False

    def close(self) -> None:
        """Give the socket back; the table stays."""
        self._netlink.close()

    @property
    def port(self) -> int:
        """The netlink port of our own commits, except those by ``nft``."""
        return self._netlink.port

    def prepare(self) -> None:
        """Set the sysctls, with or without a table. Under a millisecond."""
        with self._lock:
            self._settings.apply()

    def apply(self, desired: Ruleset | None) -> None:
        """Make the kernel hold exactly ``desired`` (None: no table), and set the sysctls.

        Raises KernelRefused, naming the object at fault, when the kernel does not take it; it
        then holds what it held before. Cost: 1 ms for a few members; otherwise 20 ms, and 3 ms per
        1,000 addresses of sets that changed.
        """
        with self._lock:
            missing = self._settings.apply()
            if desired is None:
                self._delete_table()
                return
            try:
                self._replace(desired)
            except NetlinkError as error:
                raise KernelRefused(f"netlink: {error.strerror}") from None
            if missing:  # conntrack was not loaded before the first rule that asks for it
                self._settings.apply()

    def _replace(self, desired: Ruleset) -> None:
        if self._held is not None and (self._unsure or not self._rules_intact()):
            self._held = None
        held = self._held
        if held is not None:
            changes = member_changes(held.ruleset, desired)
            try:
                if changes is None:
                    self._load(desired, held)
                elif changes:
                    self._change_members(desired, held, changes)
                return
            except KernelRefused:
                # Perhaps somebody changed the table just then: start from nothing known.
                self._held = None
        try:
            self._load(desired, None)
        except KernelRefused:
            self._held = held
            if held is not None:
                self._rules_intact()
            raise

    def _load(self, desired: Ruleset, held: Held | None, attempts: int = LOADS) -> None:
        """Make new sets, then switch the rules to them with one ``nft -f -``; again when somebody
        else committed just then, since what our table holds is not known before nobody does."""
        before = self._current_generation()
        sets, chains = self._existing()
        new = changed_sets(held, desired)
        number = next(n for n in itertools.count(1) if not any(s.endswith(f".{n}") for s in sets))
        prepared = {name: f"{name}.{number}" for name in new}
        names, kept = dict(prepared), set(prepared.values())
        if held is not None:
            names |= {name: held.names[name] for name in desired.sets if name not in new}
            kept |= kept_sets()
            kept |= set(names.values())
        volatile = Volatile(
            epoch=self._next_epoch(),
            drops=self._filling["drops"],
            begun=self._filling["begun"] if self._sampling else "",
        )
        chains_text = with_kernel_names(desired.chains, names)
        table = table_text(chains_text, volatile, with_counting_sets=held is None)
        gone = chains - chain_names(table)
        script = replacing(sorted(gone), sorted(sets - kept)) + table
        self._prepare({prepared[name]: contents for name, contents in new.items()})
        prepared_at = self._current_generation()
        try:
            self._run_nft(script)
        except KernelRefused:
            self._forget(prepared.values(), whole_table=not chains)
            raise
        self._elements_suspect = self._elements_suspect and held is not None
        if self._remember(Held(desired, names), prepared_at + 1) and prepared_at - before <= 1:
            return
        if attempts == 1:
            self._held = None
            raise KernelRefused("others change the firewall too fast to tell what it holds")
        time.sleep(BETWEEN_LOADS_S * (LOADS - attempts + 1))
        self._load(desired, None, attempts - 1)

    def _existing(self) -> tuple[set[str], set[str]]:
        """Names of sets and of chains of the table."""
        sets = {nft.set_name(body) for body in self._read(nft.GETSET, nft.sets_of_table())}
        chains = {nft.chain_name(body) for body in self._read(nft.GETCHAIN, nft.chains_of_family())}
        return sets - {""}, chains

    def _read(self, request: int, body: bytes) -> list[bytes]:
        """All messages of a dump that are about our table; none when there is no table."""
        for _attempt in range(5):
            try:
                messages = self._netlink.dump(request, body)
                return [found.body for found in messages if nft.table_of(found.body) == TABLE]
            except NetlinkError as error:
                if error.errno == errno.ENOENT:
                    return []
                if error.errno != errno.EINTR:
                    raise
        raise KernelRefused("the firewall is changed too fast to be read")

    def _prepare(self, sets: dict[str, AddressSet]) -> None:
        """One netlink batch that makes sets which no rule uses yet."""
        batch = [nft.new_table()]
        owners = [""]
        for name, contents in sets.items():
            batch += nft.new_set(name, contents)
            owners += [name] * (len(batch) - len(owners))
        try:
            self._netlink.commit(nft.NFNL_SUBSYS_NFTABLES, batch, 0)
        except NetlinkError as error:
            raise _refused(error, owners) from None

    def _forget(self, sets: Iterable[str], whole_table: bool) -> None:
        """Undo :meth:`_prepare`."""
        batch = nft.remove_table() if whole_table else [nft.delete_set(name) for name in sets]
        with contextlib.suppress(NetlinkError):  # they are in nobody's way
            if batch:
                self._netlink.commit(nft.NFNL_SUBSYS_NFTABLES, batch, 0)

    def _run_nft(self, script: str) -> None:
        try:
            done = subprocess.run(
                [self._nft, "-f", "-"],
                input=script,
                capture_output=True,
                text=True,
                timeout=NFT_TIMEOUT_S,
                check=False,
            )
        except FileNotFoundError:
            raise KernelRefused(
                f"the program {self._nft!r} is not installed: install the package nftables"
            ) from None
        except subprocess.TimeoutExpired:
            self._held = None
            raise KernelRefused(f"{self._nft} did not end within {NFT_TIMEOUT_S} s") from None
        if done.returncode != 0:
            raise KernelRefused(_explain(done.stderr, script))

    def _change_members(self, desired: Ruleset, held: Held, changes: MemberChanges) -> None:
        """One netlink batch for the members, and when they are in force one for the epoch."""
        batch: list[nft.Part] = []
        owners: list[str] = []
        for name, (removed, added) in changes.items():
            contents, kernel_name = desired.sets[name], held.names[name]
            going = nft.address_elements(contents, sorted(removed))
            coming = nft.address_elements(contents, sorted(added))
            batch += nft.delete_elements(kernel_name, going)
            batch += nft.add_elements(kernel_name, coming)
            owners += [name] * (len(batch) - len(owners))
        self._commit(batch, owners)
        self._held = Held(desired, held.names)
        self._commit(nft.renew_epoch(self._next_epoch()), [])
        if not self._remember(self._held, self._generation):
            self._load(desired, None)

    def _commit(self, batch: list[nft.Part], owners: list[str]) -> None:
        """Commit to a table that is known to be ours."""
        for _attempt in range(3):
            try:
                self._netlink.commit(nft.NFNL_SUBSYS_NFTABLES, batch, self._generation)
            except NetlinkError as error:
                if error.errno != _ERESTART:
                    raise _refused(error, owners) from None
            else:
                self._generation += 1
                return
            if not self._rules_intact():
                break
        raise KernelRefused("the firewall is being changed by somebody else")

    def _remember(self, held: Held, generation: int) -> bool:
        """Learn what our commit of this generation made of the rules; whether it could be learnt.
        When somebody has committed since, what is there may be his."""
        self._rules_digest = self._digest_rules()
        self._generation, self._held = generation, held
        self._unsure = self._current_generation() != generation
        return not self._unsure

    def remove(self) -> None:
        """Delete the table, nothing else of the firewall, and put the sysctls back.

        Does nothing when neither was there. Raises KernelRefused when the kernel keeps it."""
        with self._lock:
            self._delete_table()
            self._settings.restore()

    def _delete_table(self) -> None:
        self._held = None
        try:
            self._netlink.commit(nft.NFNL_SUBSYS_NFTABLES, nft.remove_table(), 0)
        except NetlinkError as error:
            raise KernelRefused(f"table inet {TABLE}: {error.strerror}") from None

    # --- looking

    def verify(self) -> bool:
        """Whether the kernel still holds what :meth:`apply` put there.

        20 microseconds while nobody committed anything since; otherwise rules and elements are
        read and compared: 3 microseconds a rule, 5 an element. False before the first apply and
        after :meth:`remove`.
        """
        with self._lock:
            held = self._held
            if held is None or self._unsure or not self._rules_intact():
                return False
            generation = self._generation
            if self._elements_suspect:
                if not all(self._holds(name, held) for name in held.names):
                    self._held = None
                    return False
                # What came in between is looked at by the next call.
                self._elements_suspect = self._current_generation() != generation
            return True

    def _rules_intact(self) -> bool:
        """Whether chains and rules are ours. Elements are not read, but suspected from now on when
        somebody else has committed."""
        generation = self._current_generation()
        if generation == self._generation:
            return True
        if self._digest_rules() != self._rules_digest:
            self._held = None
            return False
        self._generation = generation
        self._elements_suspect = True
        return True

    def _holds(self, name: str, held: Held) -> bool:
        try:
            keys = ((key, ends) for key, ends, _ in self._elements(held.names[name]))
            # A boundary at the lowest address ends no range; nft adds it to some sets.
            found = nft.elements_digest((k, ends) for k, ends in keys if not ends or any(k))
        except NetlinkError:
            return False
        return found == nft.elements_digest(nft.expected_keys(held.ruleset.sets[name]))

    def _digest_rules(self) -> bytes:
        """Of all chains and rules of the table; sets and elements are not in it."""
        digest = hashlib.sha256()
        for request, body in (
            (nft.GETCHAIN, nft.chains_of_family()),
            (nft.GETRULE, nft.rules_of()),
        ):
            for found in self._read(request, body):
                # The header holds the generation, which others' commits change.
                digest.update(found[NETFILTER_HEADER_BYTES:])
        return digest.digest()

    def _elements(self, name: str) -> Iterator[tuple[bytes, bool, int | None]]:
        for message in self._netlink.dump(nft.GETSETELEM, nft.set_reference(name)):
            yield from nft.set_elements(message.body)

    def _current_generation(self) -> int:
        answer = self._netlink.request(nft.GETGEN, 0, netfilter_header())
        if answer is None:
            raise KernelRefused(
                "nftables does not tell its generation: kernel 4.3 or later is needed"
            )
        return nft.generation(answer.body)[0]

    def _next_epoch(self) -> int:
        """An epoch that no connection's mark names."""
        for epoch in self._epochs:
            return epoch
        live = {epoch_of(mark) for mark in live_marks()}
        live.add(self._kernel_epoch())
        self._epochs = free_epochs(live)
        for epoch in self._epochs:
            return epoch
        raise KernelRefused("connections of all 4,095 policy epochs are alive; try again later")

    def _kernel_epoch(self) -> int:
        """The epoch of the table that a previous run left; 0 when there is none."""
        for body in self._read(nft.GETRULE, nft.rules_of("fresh")):
            epoch = nft.rule_epoch(body)
            if epoch is not None:
                return epoch
        return 0

    def listing(self) -> str:
        """The table as nft prints it, for people; empty when there is none. Not for large sets:
        some seconds for 100,000 addresses."""
        done = subprocess.run(
            [self._nft, "list", "table", "inet", TABLE],
            capture_output=True,
            text=True,
            timeout=NFT_TIMEOUT_S,
            check=False,
        )
        return done.stdout if done.returncode == 0 else ""

    # --- counting

    def drain_drops(self) -> list[Drop]:
        """Refused packets since the previous call that were above the logging rate, per
        connection end; each packet once, none lost. 50 microseconds when there were none;
        otherwise 50 ms and 10 microseconds for each result."""
        return self._drain("drops", Drop)

    def sample(self, on: bool) -> None:
        """Tell of one new connection in 64 and count the others, or tell of all. Holds for every
        later policy too; 0.1 ms."""
        with self._lock, _unless_gone():
            self._sampling = on
            self._swap(nft.count_begun_into(self._filling["begun"] if on else ""))

    def drain_begun(self) -> list[Untold]:
        """Connections that began untold since the previous call; costs as :meth:`drain_drops`."""
        return self._drain("begun", Untold)

    def users(self) -> dict[Service, int]:
        """Which user of this host opened connections to which service in the last 15 minutes: one
        of them when there were several. 8 microseconds each, 4,096 for each family at most."""
        found: dict[Service, int] = {}
        with self._lock, _unless_gone():
            for family, _ in FAMILIES:
                for key, _ in self._counted_elements(user_set(family)):
                    if used := used_service(key):
                        found.setdefault(*used)
        return found

    def _drain(self, counted: Counted, kind: type[_Kind]) -> list[_Kind]:
        found: list[_Kind] = []
        with self._lock, _unless_gone():
            side = self._filling[counted]
            full = [counting_set(counted, family, side) for family, _ in FAMILIES]
            if not any(True for name in full for _ in self._elements(name)):
                return []
            # The chain is pointed at the other pair of sets, then the full pair is read and
            # emptied at leisure: a dump that resets counters loses some of them.
            other = self._filling[counted] = "b" if side == "a" else "a"
            if counted == "drops":
                self._swap(nft.count_drops_into(other))
            elif self._sampling:
                self._swap(nft.count_begun_into(other))
            time.sleep(SETTLE_S)
            for name in full:
                for key, packets in self._counted_elements(name):
                    attempts = counted_attempts(key, packets, kind)
                    if attempts is not None:
                        found.append(attempts)
            self._swap([nft.flush_set(name) for name in full])
        return found

    def _counted_elements(self, name: str) -> list[tuple[bytes, int | None]]:
        """Key and count of each. Read again when somebody else commits meanwhile, which makes the
        kernel say that a dump may have holes; of a set that nothing is taken from, the last one
        has none."""
        found: list[tuple[bytes, int | None]] = []
        for _attempt in range(3):
            found.clear()
            try:
                found += ((key, packets) for key, _, packets in self._elements(name))
            except NetlinkError as error:
                if error.errno != errno.EINTR:
                    raise
            else:
                break
        return found

    def _swap(self, batch: list[nft.Part]) -> None:
        """A commit that does not change the policy."""
        before = self._current_generation()
        known = self._held is not None and not self._unsure and self._rules_intact()
        self._netlink.commit(nft.NFNL_SUBSYS_NFTABLES, batch, 0)
        if known and self._held is not None:
            self._remember(self._held, before + 1)


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    """Without a table there is nothing to count and nothing was counted."""
    try:
        yield
    except NetlinkError as error:
        if error.errno != errno.ENOENT:
            raise


def _refused(error: NetlinkError, owners: list[str]) -> KernelRefused:
    """``owners``: the set that each message of the batch is about."""
    where = owners[error.sequence] if error.sequence < len(owners) else ""
    return KernelRefused(f"set {where}: {error.strerror}" if where else str(error.strerror))


def _explain(errors: str, script: str) -> str:
    """The first of nft's errors with the line that it is about."""
    lines = script.splitlines()
    for error in errors.splitlines():
        found = re.match(r".*?:(\d+):(\d+)(?:-\d+)?: (.*)", error)
        if found:
            line = lines[int(found[1]) - 1].strip() if int(found[1]) <= len(lines) else ""
            return f"nft, line {found[1]}: {found[3]} in: {line[:200]}"
    return f"nft: {errors.strip()[:300]}"
