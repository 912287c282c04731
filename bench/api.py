"""Lists of workloads: found by the index, and streamed whole.

CPU alone: what the store takes is counted in tests, as requests.
"""

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.figure import Figure
from pce.identifiers import OrgId
from pce.objects.filters import exact_first, matching
from pce.objects.workload import WORKLOADS
from pce.objects.workload_shown import Host, shown_workload
from pce.store.directory import DirectoryStore
from pce.usecases.run_export import gzipped_array

ORG = OrgId(1)
BUDGET_LIST_S = 1.0
BUDGET_EXPORT_MIB = 64.0
"""Beside what the process needs without any workload: two batches, and a part of the upload."""


class _Archive:
    """The bucket, in memory."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self._objects.get(key)

    def put(self, key: str, body: bytes, content_type: str = "") -> None:
        self._objects[key] = body


def workload(number: int) -> dict[str, Any]:
    """A stored document, as an import makes it."""
    href = f"/orgs/{ORG}"
    return {
        "href": f"{href}/workloads/{uuid.UUID(int=number)}",
        "name": f"host-{number:06d}",
        "hostname": f"host-{number:06d}.example.com",
        "description": None,
        "managed": False,
        "online": True,
        "enforcement_mode": "full",
        "visibility_level": "flow_summary",
        "labels": [{"href": f"{href}/labels/{number % n}"} for n in (20, 41, 5, 7)],
        "interfaces": [
            {"name": "eth0", "address": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"}
        ],
    }


def _filtered(count: int) -> float:
    """CPU seconds of a filtered list over ``count`` workloads, the second of a process."""
    directory = DirectoryStore(_Archive())  # type: ignore[arg-type]
    directory.save(ORG, (workload(n) for n in range(count)), [])
    query = {"name": "host-0123", "enforcement_mode": "full"}
    taken = 0.0
    for _ in range(2):
        began = time.process_time()
        known = directory.workloads(ORG) or {}
        found = matching((known[id] for id in sorted(known)), WORKLOADS.filters, query)
        exact_first(found, WORKLOADS.searched, query)
        taken = time.process_time() - began
    return taken


def _shown(count: int) -> Iterator[dict[str, Any]]:
    return (shown_workload(Host(workload(n))) for n in range(count))


def _export(count: int) -> tuple[float, float]:
    """CPU seconds, and MiB by which the process grows, to make the file of ``count`` workloads."""
    program = f"from bench import api; api.export_alone({count})"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    seconds, grown = run.stdout.split()
    return float(seconds), float(grown)


def peak_mib() -> float:
    """The most memory that this program has held so far. (What getrusage tells counts what its
    parent held, too.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def export_alone(count: int) -> None:
    """Print what :func:`_export` returns; in a process of its own, whose peak is the export's."""
    for _ in gzipped_array(_shown(1_000)):
        pass
    before = peak_mib()
    began = time.process_time()
    for _ in gzipped_array(_shown(count)):
        pass
    print(time.process_time() - began, peak_mib() - before)


def measure() -> list[Figure]:
    """A filtered list of 25,000 and of 100,000 workloads, and an export of 100,000."""
    figures = []
    for count in (25_000, 100_000):
        taken = _filtered(count)
        budget = BUDGET_LIST_S if count == 25_000 else None
        name = f"filtered list over {count:,} workloads, by the index"
        figures.append(Figure(name, taken, "s", budget, taken <= BUDGET_LIST_S))
    seconds, grown = _export(100_000)
    name = "export of 100,000 workloads"
    figures.append(Figure(f"{name}, shown and packed", seconds, "s", None, True))
    within = grown <= BUDGET_EXPORT_MIB
    figures.append(Figure(f"{name}, memory", grown, "MiB", BUDGET_EXPORT_MIB, within))
    return figures
