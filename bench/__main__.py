"""Measures everything that has a budget and prints a table; exits 1 when a budget is not met."""

import importlib
import platform
import sys
from datetime import UTC, datetime

from bench.figure import Figure

MEASURED = (
    "heartbeat",
    "sweep",
    "policy",
    "policy_engine",
    "questions",
    "api",
    "large_org",
    "flows",
    "streaming",
    "ven",
    "ven_load",
    "ven_kernel",
)
"""Modules of this package, each with ``measure() -> list[Figure]``."""


def main(names: list[str]) -> int:
    """Measure the named modules, or all; returns the exit status."""
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()},")
    print(f"{datetime.now(UTC):%Y-%m-%d}\n")
    print("| what | measured | budget | within |")
    print("| --- | ---: | ---: | --- |")
    missed = 0
    for name in names or MEASURED:
        for figure in importlib.import_module(f"bench.{name}").measure():
            print(_row(figure), flush=True)
            missed += not figure.within
    return 1 if missed else 0


def _row(figure: Figure) -> str:
    budget = "" if figure.budget is None else f"{figure.budget:g} {figure.unit}"
    within = "" if figure.budget is None else "yes" if figure.within else "**no**"
    return f"| {figure.name} | {figure.value:.4g} {figure.unit} | {budget} | {within} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
