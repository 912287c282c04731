"""Which addresses the domain names of a policy mean now; pure.

Theory: a name gets addresses from two sources. Names that are written in full are resolved by this
host, again and again; of every name, also of those that ``*.example.com`` stands for, the answers
that name servers give to anybody on this host are observed. An answer fills only sets whose names
match the name that was asked for.

How long an address stays:

- of an observed answer, for its time to live, between a minute and a day;
- of a name that this host resolves, until an answer comes without it and it was not seen for five
  minutes. While the name cannot be resolved its last good answer stays.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from ven.core.dns import Answer
from ven.core.timing import NEVER, Dice

RESOLVE_S = 60.0
"""Shortest time between two resolutions of a name."""
SPREAD = 0.25
"""Share of it that is added at random, so that hosts and names drift apart."""
KEEP_S = 300.0
"""For which an address is kept that a later answer lacks: servers that share a load by DNS name
others each time."""
SHORTEST_S, LONGEST_S = 60.0, 86_400.0
"""Bounds of an observed time to live: an application uses an address longer than a second."""
SWEEP_S = 10.0
"""Between two looks for what has expired."""
ADDRESSES_PER_SET = 4_096
"""Of one set; beyond it those go that would expire first."""

Names = Mapping[str, Iterable[str]]
"""Set id to names, as in the policy document."""
Learned = dict[str, frozenset[bytes]]
"""Set id to packed addresses."""
Remembered = dict[str, list[str]]
"""Name to addresses as text: what is kept on disk."""


class NameBook:
    """The names of a policy, and what is known of them. Times are seconds on any clock that only
    goes forward."""

    def __init__(self, dice: Dice, names: Names | None = None, now: float = 0) -> None:
        self._dice = dice
        self._wanted: dict[str, frozenset[str]] = {}
        self._known: dict[str, dict[tuple[str, bytes], float]] = {}
        self._due: dict[str, float] = {}
        self._sweep_at = NEVER
        self.want(names or {}, now)

    def want(self, names: Names, now: float) -> None:
        """These are the names from now on; what is known of others is forgotten."""
        known = self._known_for(names)
        self._wanted = {set_id: frozenset(map(canonical, found)) for set_id, found in names.items()}
        self._known = known
        exact = {name for found in self._wanted.values() for name in found if "*" not in name}
        self._due = {name: self._due.get(name, now) for name in sorted(exact)}
        self._sweep_at = now + SWEEP_S if names else NEVER

    def learned(self, names: Names | None = None) -> Learned:
        """The addresses of each set; those that it would have if ``names`` were wanted."""
        known = self._known if names is None else self._known_for(names)
        return {
            set_id: frozenset(address for _name, address in found)
            for set_id, found in known.items()
        }

    def names(self) -> dict[bytes, str]:
        """The name by which each known address was found; of several the first in the alphabet."""
        found: dict[bytes, str] = {}
        for known in self._known.values():
            for name, address in known:
                found[address] = min(name, found.get(address, name))
        return found

    def answered(self, answer: Answer, now: float) -> bool:
        """A name server's answer was observed; true when a set changes."""
        until = [now + min(max(float(ttl), SHORTEST_S), LONGEST_S) for _, ttl in answer.addresses]
        addresses = (address for address, _ in answer.addresses)
        return self._add(answer.name, dict(zip(addresses, until, strict=True)))

    def resolved(self, name: str, addresses: Iterable[bytes], now: float) -> bool:
        """This host resolved the name, perhaps to nothing; true when a set changes."""
        self._again(name, now)
        changed = self._add(name, dict.fromkeys(addresses, now + KEEP_S))
        for found in self._known.values():
            gone = [key for key, until in found.items() if key[0] == name and until <= now]
            for key in gone:
                del found[key]
            changed = changed or bool(gone)
        return changed

    def failed(self, name: str, now: float) -> None:
        """The name could not be resolved: what is known of it stays."""
        self._again(name, now)

    def due(self, now: float) -> str | None:
        """A name that is to be resolved now; ends in :meth:`resolved` or :meth:`failed`."""
        name = min(self._due, key=self._due.__getitem__, default=None)
        if name is None or self._due[name] > now:
            return None
        self._due[name] = NEVER
        return name

    def expire(self, now: float) -> bool:
        """Forget observed addresses whose time is over; true when a set changes."""
        if now < self._sweep_at:
            return False
        self._sweep_at = now + SWEEP_S
        changed = False
        for set_id, found in self._known.items():
            resolved = self._wanted[set_id]
            gone = [k for k, until in found.items() if until <= now and k[0] not in resolved]
            for key in gone:
                del found[key]
            changed = changed or bool(gone)
        return changed

    def wake_at(self) -> float:
        """When :meth:`due` or :meth:`expire` is to be asked next."""
        return min(self._sweep_at, *self._due.values(), NEVER)

    def remembered(self) -> Remembered:
        """What a next process should know."""
        found: dict[str, set[str]] = {}
        for known in self._known.values():
            for name, address in known:
                found.setdefault(name, set()).add(str(ip_address(address)))
        return {name: sorted(addresses) for name, addresses in sorted(found.items())}

    def remember(self, remembered: Remembered, now: float) -> None:
        """What an earlier process knew; it stays for as long as an answer without it would let
        it."""
        for name, addresses in remembered.items():
            packed = (ip_address(text).packed for text in addresses)
            self._add(name, dict.fromkeys(packed, now + KEEP_S))

    def _add(self, name: str, addresses: Mapping[bytes, float]) -> bool:
        """Each address may stay until the time beside it; true when a set changes."""
        changed = False
        for set_id, names in self._wanted.items():
            if not _matches(names, name):
                continue
            found = self._known.setdefault(set_id, {})
            for address, until in addresses.items():
                if _is_somebodys(address):
                    changed = changed or (name, address) not in found
                    found[name, address] = max(until, found.get((name, address), until))
            while len(found) > ADDRESSES_PER_SET:
                del found[min(found, key=found.__getitem__)]
        return changed

    def _again(self, name: str, now: float) -> None:
        if name in self._due:
            roll, self._dice = self._dice.roll()
            self._due[name] = now + RESOLVE_S * (1 + SPREAD * roll)

    def _known_for(self, names: Names) -> dict[str, dict[tuple[str, bytes], float]]:
        all_known: dict[tuple[str, bytes], float] = {}
        for known in self._known.values():
            for key, until in known.items():
                all_known[key] = max(until, all_known.get(key, until))
        found = {}
        for set_id, wanted in names.items():
            patterns = frozenset(map(canonical, wanted))
            found[set_id] = {k: until for k, until in all_known.items() if _matches(patterns, k[0])}
        return found


def canonical(name: str) -> str:
    """As name servers write it: lower case, without a dot at its end, other alphabets in ASCII."""
    plain = name.rstrip(".").lower()
    star, rest = ("*.", plain[2:]) if plain.startswith("*.") else ("", plain)
    try:
        return star + rest.encode("idna").decode()
    except UnicodeError:
        return plain  # matches no name that a name server could give


def _matches(names: frozenset[str], name: str) -> bool:
    """Whether one of the names, or of those with a star for everything below, is this one."""
    if name in names:
        return True
    labels = name.split(".")
    return any("*." + ".".join(labels[start:]) in names for start in range(1, len(labels)))


def _is_somebodys(address: bytes) -> bool:
    """Not loopback, link-local, multicast or unspecified: no name means those for a policy."""
    found = ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped is None and not (
        found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified
    )
