"""Whether a workload or a rule set lies inside a scope. Pure.

A scope is a list of hrefs of labels and label groups. ``expand`` gives the labels that one stands
for: a label itself, or all labels of a group and of the groups in it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pce.access.roles import entry_href

Expand = Callable[[str], frozenset[str]]
Row = Sequence[Mapping[str, Any]]


def workload_is_inside(labels: Collection[str], scope: Sequence[str], expand: Expand) -> bool:
    """Whether a workload with these labels (hrefs) has one of what each entry stands for."""
    return all(not expand(entry).isdisjoint(labels) for entry in scope)


def rule_set_is_inside(rows: Sequence[Row], scope: Sequence[str], expand: Expand) -> bool:
    """Whether every row of a rule set's scopes selects only workloads inside the scope.

    An empty row selects everything, so it lies only in an empty scope; so does an entry that
    excludes, and a group without labels, which may get any.
    """
    return bool(rows) and all(_row_is_inside(row, scope, expand) for row in rows)


def _row_is_inside(row: Row, scope: Sequence[str], expand: Expand) -> bool:
    named = [expand(entry_href(entry)) for entry in row if not entry.get("exclusion")]
    return all(
        any(labels and labels <= wanted for labels in named) for wanted in map(expand, scope)
    )
