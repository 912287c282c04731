"""Which links of a container host may carry packets of its pods; and whether that is limited.

Theory: a container engine makes a pod's network before the first process of the pod runs, and
before anybody can know whose it is. So while the host enforces, the host's end of a new pair of
links is closed from the instant that it exists (the kernel decides that by the link's kind, see
``ven.edge.pod_gate``), and opened when something stands in its place: the pod's own firewall, or
the knowledge that its namespace is not enforced.

A link behind which no container turns up is opened after ``UNKNOWN_S``: pairs serve other purposes
too, which are none of ours. So is what was there before anything was closed.
"""

from collections.abc import Iterable, Mapping

UNKNOWN_S = 60.0
"""Engines start a pod's first process within seconds of making its network; an image that must be
fetched meanwhile takes longer."""

ENFORCED = frozenset(("selective", "full"))

MOST_NAMESPACES = 1024
"""That are remembered; beyond it only those that have pods now."""


class Admission:
    """The links of one host; fed with what is there, at each look."""

    def __init__(self, admitted_before: Iterable[int] | None) -> None:
        """``admitted_before``: what the kernel admits already; None when it closes nothing yet."""
        self._before = None if admitted_before is None else frozenset(admitted_before)
        self._since: dict[int, float] = {}

    def admitted(
        self, links: Iterable[int], uplinks: Iterable[int], pods: Mapping[int, bool], now: float
    ) -> frozenset[int]:
        """Indexes of the links that may carry packets. ``links``: the host's ends of all pairs,
        ``uplinks`` those that lead out of the host; ``pods``: by link, whether the pod behind it
        is looked after."""
        there, out = frozenset(links), frozenset(uplinks)
        self._before = there if self._before is None else there & (self._before | out)
        self._since = {index: self._since.get(index, now) for index in there}
        known = self._before.union(
            index for index, since in self._since.items() if now - since >= UNKNOWN_S
        )
        return frozenset(index for index in there if pods.get(index, index in known))


def remembered(
    known: Mapping[str, bool], modes: Iterable[tuple[str, str | None]]
) -> dict[str, bool]:
    """Which namespaces are enforced: those known before, and what the PCE says now of pods:
    (namespace, mode of its policy; None when it is not managed)."""
    now: dict[str, bool] = {}
    for namespace, mode in modes:
        now[namespace] = now.get(namespace, False) or mode in ENFORCED
    together = {**known, **now}
    return together if len(together) <= MOST_NAMESPACES else now
