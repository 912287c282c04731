"""The table in ``docs/communication-coverage.md`` names what there is."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "communication-coverage.md"
SHORT = {
    "pce/": "layers/pce/python/pce/",
    "ven/": "ven/src/ven/",
    "protocol/": "layers/ven_protocol/python/ven_protocol/",
}
SECTIONS = (
    "Details about VEN-to-PCE Communication",
    "Configurable Time for Heartbeat Warning",
    "VEN Connectivity",
    "VEN Support for IPv6 Traffic",
    "Communication Frequency",
    "VEN Heartbeats and Lost Agents",
    "PCE down or network issue and the VEN degraded state",
    "Failed authentication and the VEN minimal state",
    "VEN Offline Timers and Isolation",
    "Sampling Mode for VENs",
    "Linux TCP Timeout Variable",
    "Wireless Connections and VPNs",
    "Show Amount of Data Transfer",
)
"""Titles of the document, in its order."""


class Row(NamedTuple):
    """One promise."""

    section: str
    promise: str
    places: list[str]
    """Files and symbols: each symbol belongs to the file before it."""
    tests: list[str]


def rows() -> Iterator[Row]:
    """The rows of the table, in order."""
    section = ""
    for line in TABLE.read_text().splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("| ") and not line.startswith(("| ---", "| promise |")):
            promise, places, tests = (cell.strip() for cell in line.strip("| ").split(" | "))
            yield Row(section, promise, re.findall("`(.+?)`", places), re.findall("`(.+?)`", tests))


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    """Functions, classes and constants of a module, and ``Class.member`` of its classes."""

    def defined(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
        for statement in body:
            match statement:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    yield prefix + name
                case ast.ClassDef(name=name):
                    yield prefix + name
                    yield from defined(statement.body, f"{prefix}{name}.")
                case (
                    ast.Assign(targets=[ast.Name(id=name)])
                    | ast.AnnAssign(target=ast.Name(id=name))
                ):
                    yield prefix + name

    return frozenset(defined(ast.parse(path.read_text()).body))


def real_path(name: str) -> Path:
    """Of a file in the table; ``ven/src/ven/x.py`` is written ``ven/x.py``."""
    short = next((each for each in SHORT if name.startswith(each)), "")
    return ROOT / (SHORT.get(short, "") + name.removeprefix(short))


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row.promise[:40])
def test_a_row_names_what_there_is(row: Row) -> None:
    """A behaviour that moves, or a test that is renamed, takes its row along."""
    path, symbols = None, 0
    for name in row.places:
        if name.endswith(".py"):
            path = real_path(name)
            assert path.is_file(), f"{name} is no file"
        else:
            assert path is not None, f"{name}: which file is it in?"
            assert name in names_in(path), f"{path.name} has no {name}"
            symbols += 1
    assert symbols, "a row needs a file and a symbol"
    assert row.tests, "a row needs a test"
    for test in row.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), f"{file} is no file"
        assert name.startswith("test_"), f"{test}: pytest does not collect it"
        assert name in names_in(ROOT / file), f"{file} has no {name}"


def test_every_section_has_rows_in_the_order_of_the_document() -> None:
    """A section that lost its last row would be missed."""
    assert tuple(dict.fromkeys(row.section for row in rows())) == SECTIONS


def test_no_promise_is_there_twice() -> None:
    """Two rows that say the same would drift apart."""
    said = [(row.section, row.promise) for row in rows()]
    assert len(said) == len(set(said))
