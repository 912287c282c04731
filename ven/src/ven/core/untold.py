"""The books of untold connections: counts exact to one, bytes estimated from those that are told.

In sampling mode the kernel counts most new connections (``ven.core.sampling``) and says nothing
more of them. Two readings tell the rest: how many began, for each *service key* (source,
destination, protocol, service, decision), and how many of those are open in the dump at a window's
end. What has begun and is not open has ended. Each connection is so counted once with its end,
however many windows it lives, and no connection is remembered for it.

Bytes and durations of those that ended are not known. One of so many connections was told, drawn at
random, so the mean of the told ones of a key is a fair estimate for the others of that key. A key
of which none was told borrows the mean of its protocol and port; failing that, its bytes are left
unknown. Those that are open have their bytes in the dump and need no estimate.

Memory: :data:`MAX_KEYS` keys, about 1 MiB. Beyond it a connection counts as ended when it begins.
"""

from collections.abc import Iterator

MAX_KEYS = 5_000

Measures = tuple[float, float, float, float, float, float]
"""Bytes into and out of the responder in all and in this window, milliseconds in all and in this
window; of one connection."""

_NOTHING: Measures = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class UntoldBooks:
    """Keys are opaque bytes; :attr:`port_of` says which protocol and port one is about."""

    def __init__(self, port_of: slice) -> None:
        """``port_of``: the part of a key that names protocol and port."""
        self._port_of = port_of
        self._begun: dict[bytes, int] = {}
        self._open: dict[bytes, int] = {}
        self._told: dict[bytes, tuple[int, Measures]] = {}

    def began(self, key: bytes, count: int) -> int:
        """So many were counted; how many of them must be reported as ended now, for want of room:
        all or none."""
        if key not in self._begun and len(self._begun) >= MAX_KEYS:
            return count
        self._begun[key] = self._begun.get(key, 0) + count
        return 0

    def is_open(self, key: bytes) -> None:
        """The dump under way shows one that was counted before."""
        if key in self._begun:
            self._open[key] = self._open.get(key, 0) + 1

    def begin_dump(self) -> None:
        """A dump follows."""
        self._open.clear()

    def ended(self) -> Iterator[tuple[bytes, int]]:
        """After a complete dump: how many of which key have ended since the last one."""
        for key, begun in list(self._begun.items()):
            still_open = min(self._open.get(key, 0), begun)
            if still_open:
                self._begun[key] = still_open
            else:
                del self._begun[key]
            if begun > still_open:
                yield key, begun - still_open

    def sampled(self, key: bytes, measures: Measures) -> None:
        """A connection that was told, drawn like any other, has ended."""
        for part in (key, key[self._port_of]):
            if part in self._told or len(self._told) < 2 * MAX_KEYS:
                count, sums = self._told.get(part, (0, _NOTHING))
                added = tuple(a + b for a, b in zip(sums, measures, strict=True))
                self._told[part] = count + 1, added  # type: ignore[assignment]

    def estimate(self, key: bytes) -> Measures | None:
        """Of one untold connection of this key; None when nothing is known of its port either."""
        count, sums = self._told.get(key) or self._told.get(key[self._port_of], (0, _NOTHING))
        if not count:
            return None
        return tuple(value / count for value in sums)  # type: ignore[return-value]

    def end_window(self) -> None:
        """The next window's samples speak for the next window."""
        self._told.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._begun.clear()
        self._open.clear()
        self._told.clear()
