"""The VEN's firewall: one nftables table, ``inet ven``, and what the kernel holds of it.

Theory: the desired table and the kernel's stand side by side. When only members of sets differ,
the difference goes to the kernel as one netlink batch that names the generation it was computed
for, so a change by anybody else in between is an error and not a surprise. Anything else is one
``nft -f -``. Either is one transaction: the kernel holds all of the old policy or all of the new.
Every commit begins an epoch (``ven.core.mark``), so established connections are judged again.
"""

import contextlib
import errno
import hashlib
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ven.core.kernel import Drop, KernelRefused
from ven.core.mark import OUTBOUND, decision_of, epoch_of, free_epochs
from ven.core.ruleset import (
    TABLE,
    Family,
    Ruleset,
    counting_set,
    member_changes,
    transaction,
)
from ven.edge import nft_messages as nft
from ven.edge.conntrack import live_marks
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

SETTLE_S = 0.05
"""After the counting sets were exchanged, packets that were under way still count into the old
ones for some microseconds."""

_ERESTART = 85
"""The kernel's answer to a batch computed for another generation (not in ``errno`` everywhere)."""
_VOLATILE = frozenset(("fresh", "stamp", "count"))


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
        self._held: Ruleset | None = None
        self._generation = 0
        self._rules_digest = b""
        self._epochs: Iterator[int] = iter(())
        self._side = "a"
        self.lost_drops = 0
        """Refused packets that were read from the kernel and could not be understood."""

    def close(self) -> None:
        """Give the socket back; the table stays."""
        self._netlink.close()

    @property
    def port(self) -> int:
        """The netlink port of our own commits, except those by ``nft``."""
        return self._netlink.port

    def apply(self, desired: Ruleset | None) -> None:
        """Make the kernel hold exactly ``desired`` (None: no table) in one transaction.

        Raises KernelRefused, naming the object at fault, when the kernel does not take it; it
        then holds what it held before. Cost with an unchanged rest: 1 ms for a few members;
        otherwise 20 ms and 3 ms per 1,000 addresses.
        """
        with self._lock:
            if desired is None:
                self.remove()
                return
            missing = self._settings.apply()
            try:
                self._replace(desired)
            except NetlinkError as error:
                raise KernelRefused(f"netlink: {error.strerror}") from None
            if missing:  # conntrack was not loaded before the first rule that asks for it
                self._settings.apply()

    def _replace(self, desired: Ruleset) -> None:
        if self._held is not None and not self._rules_intact():
            self._held = None
        held, generation = self._held, self._generation
        if held is not None:
            changes = member_changes(held, desired)
            try:
                if changes is None:
                    self._load(desired, held)
                elif changes:
                    self._change_members(desired, held, changes)
                return
            except KernelRefused:
                # Somebody changed the table since it was looked at: start from nothing known.
                self._held = None
        try:
            self._load(desired, None)
        except KernelRefused:
            self._held = held if self._current_generation() == generation else None
            raise

    def _load(self, desired: Ruleset, held: Ruleset | None) -> None:
        """One ``nft -f -``."""
        epoch = self._next_epoch()
        script = transaction(desired, held, epoch, self._side)
        for _attempt in range(3):
            before = self._current_generation()
            self._run_nft(script)
            self._remember(desired)
            if self._generation == before + 1:
                return
            # Somebody else committed just then, perhaps to our table: say it again.
            script = transaction(desired, None, epoch, self._side)

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

    def _change_members(
        self,
        desired: Ruleset,
        held: Ruleset,
        changes: dict[str, tuple[frozenset[bytes], frozenset[bytes]]],
    ) -> None:
        """One netlink batch, computed for the generation that was last known to be ours."""
        batch = nft.renew_epoch(self._next_epoch())
        owners = [""] * len(batch)
        for name, (removed, added) in changes.items():
            contents = desired.sets[name]
            batch += nft.delete_elements(name, nft.address_elements(contents, sorted(removed)))
            batch += nft.add_elements(name, nft.address_elements(contents, sorted(added)))
            owners += [name] * (len(batch) - len(owners))
        self._commit(batch, owners)
        self._remember(desired)

    def _commit(self, batch: list[nft.Part], owners: list[str]) -> None:
        for _attempt in range(3):
            try:
                self._netlink.commit(nft.NFNL_SUBSYS_NFTABLES, batch, self._generation)
                return
            except NetlinkError as error:
                if error.errno != _ERESTART:
                    where = owners[error.sequence] if error.sequence < len(owners) else ""
                    raise KernelRefused(
                        f"set {where}: {error.strerror}" if where else str(error.strerror)
                    ) from None
            if not self._rules_intact():
                break
        raise KernelRefused("the firewall is being changed by somebody else")

    def _remember(self, held: Ruleset) -> None:
        self._generation = self._current_generation()
        self._rules_digest = self._digest_rules()
        self._held = held

    def remove(self) -> None:
        """Delete the table, nothing else of the firewall, and put the sysctls back.

        Does nothing when neither was there. Raises KernelRefused when the kernel keeps it."""
        with self._lock:
            self._held = None
            try:
                self._netlink.commit(nft.NFNL_SUBSYS_NFTABLES, nft.remove_table(), 0)
            except NetlinkError as error:
                raise KernelRefused(f"table inet {TABLE}: {error.strerror}") from None
            self._settings.restore()

    # --- looking

    def verify(self) -> bool:
        """Whether the kernel still holds what :meth:`apply` put there.

        10 microseconds while nobody committed anything since; otherwise rules and elements are
        read and compared: 3 microseconds a rule, 5 an element. False before the first apply and
        after :meth:`remove`.
        """
        with self._lock:
            held = self._held
            if held is None:
                return False
            if self._current_generation() == self._generation:
                return True
            if not all(self._holds(name, held) for name in held.sets):
                self._held = None
            return self._held is not None and self._rules_intact()

    def _rules_intact(self) -> bool:
        """Whether chains and rules are ours; elements are not looked at."""
        generation = self._current_generation()
        if generation == self._generation:
            return True
        if self._digest_rules() != self._rules_digest:
            self._held = None
            return False
        self._generation = generation
        return True

    def _holds(self, name: str, held: Ruleset) -> bool:
        try:
            keys = ((key, ends) for key, ends, _ in self._elements(name))
            # A boundary at the lowest address ends no range; nft adds it to some sets.
            found = nft.elements_digest((k, ends) for k, ends in keys if not ends or any(k))
        except NetlinkError:
            return False
        return found == nft.elements_digest(nft.expected_keys(held.sets[name]))

    def _digest_rules(self) -> bytes:
        """Of all chains and rules of the table; counting sets and elements are not in it."""
        digest = hashlib.sha256()
        for request, body in (
            (nft.GETCHAIN, nft.chains_of_family()),
            (nft.GETRULE, nft.rules_of()),
        ):
            with contextlib.suppress(NetlinkError):
                for message in self._netlink.dump(request, body):
                    if nft.table_of(message.body) == TABLE:
                        # The header holds the generation, which others' commits change.
                        digest.update(message.body[NETFILTER_HEADER_BYTES:])
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
        with contextlib.suppress(NetlinkError):
            for message in self._netlink.dump(nft.GETRULE, nft.rules_of("fresh")):
                epoch = nft.rule_epoch(message.body)
                if epoch is not None and nft.table_of(message.body) == TABLE:
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
        with self._lock:
            families: tuple[Family, ...] = (4, 6)
            try:
                full = [counting_set(family, self._side) for family in families]
                if not any(True for name in full for _ in self._elements(name)):
                    return []
                # The chain is pointed at the other pair of sets, then the full pair is read and
                # emptied at leisure: a dump that resets counters loses some of them.
                other = "b" if self._side == "a" else "a"
                self._swap(nft.count_into(other))
                self._side = other
                time.sleep(SETTLE_S)
                drops = [drop for name in full for drop in self._read_drops(name)]
                self._swap([nft.flush_set(name) for name in full])
            except NetlinkError as error:
                if error.errno == errno.ENOENT:  # no table
                    return []
                raise
            return drops

    def _swap(self, batch: list[nft.Part]) -> None:
        """A commit that does not change the policy."""
        known = self._held is not None and self._rules_intact()
        self._netlink.commit(nft.NFNL_SUBSYS_NFTABLES, batch, 0)
        if known and self._held is not None:
            self._remember(self._held)

    def _read_drops(self, name: str) -> Iterator[Drop]:
        for key, _, packets in self._elements(name):
            size = 4 if len(key) == 20 else 16
            if len(key) != 12 + 2 * size:
                self.lost_drops += packets or 0
                continue
            (mark,) = struct.unpack_from("=I", key)
            proto = key[4 + 2 * size]
            (service,) = struct.unpack_from(">H", key, 8 + 2 * size)
            # The epoch is not part of the key: it would only split the counts.
            decision, qualifier = decision_of(mark | 1 << 20)
            icmp = proto in (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6)
            yield Drop(
                direction="O" if mark & OUTBOUND else "I",
                proto=proto,
                src=key[4 : 4 + size],
                dst=key[4 + size : 4 + 2 * size],
                dst_port=0 if icmp else service,
                icmp_type=service >> 8 if icmp else None,
                icmp_code=service & 0xFF if icmp else None,
                decision=decision,
                qualifier=qualifier,
                count=packets or 1,
            )


def _explain(errors: str, script: str) -> str:
    """The first of nft's errors with the line that it is about."""
    lines = script.splitlines()
    for error in errors.splitlines():
        found = re.match(r".*?:(\d+):(\d+)(?:-\d+)?: (.*)", error)
        if found:
            line = lines[int(found[1]) - 1].strip() if int(found[1]) <= len(lines) else ""
            return f"nft, line {found[1]}: {found[3]} in: {line[:200]}"
    return f"nft: {errors.strip()[:300]}"
