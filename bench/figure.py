"""One measured number beside its budget."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """What ``make bench`` prints as a line."""

    name: str
    value: float
    unit: str
    budget: float | None
    """In the same unit; None when the figure has no budget."""
    within: bool
