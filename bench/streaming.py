"""What streaming a flow batch costs: CPU from stored bytes to the archive's pieces and to syslog
messages, and bytes for Firehose."""

import time
from collections.abc import Callable
from functools import partial

from bench.figure import Figure
from bench.flows import ROWS, stored_batches
from pce.flows.batch import unpack
from pce.flows.summary import summary_json
from pce.identifiers import OrgId
from pce.streaming.archive_object import pieces
from pce.streaming.records import Record
from pce.streaming.syslog_message import Format, syslog_message

ORG = OrgId(1)
FQDN = "pce.example.com"
BATCHES = 20
"""One step of a worker."""
FORMATS: tuple[Format, ...] = ("JSON", "CEF")


def measure() -> list[Figure]:
    """CPU on one core."""
    stored = stored_batches(BATCHES)
    archived = _archive(stored)
    kib = sum(map(len, archived)) / BATCHES / 1024
    figures = [
        Figure(
            f"streamed batch of {ROWS} with byte counts, as Firehose gets it",
            kib,
            "KiB",
            None,
            True,
        ),
        _rate("streaming to the archive", partial(_archive, stored)),
    ]
    for form in FORMATS:
        figures.append(_rate(f"streaming to syslog, {form}", partial(_lines, stored, form)))
    return figures


def _documents(stored: list[bytes]) -> list[dict[str, object]]:
    return [
        document
        for body in stored
        for document in summary_json(unpack(body), ORG, FQDN, "Corporate")
    ]


def _archive(stored: list[bytes]) -> list[bytes]:
    documents = _documents(stored)
    return [
        piece
        for pd in range(4)
        for piece in pieces(ORG, [one for one in documents if one["pd"] == pd], pd)
    ]


def _lines(stored: list[bytes], form: Format) -> list[bytes]:
    return [
        syslog_message(Record("flow_summary", document), form, at, FQDN, "25.2.0")
        for at, document in enumerate(_documents(stored))
    ]


def _rate(name: str, work: Callable[[], object]) -> Figure:
    began = time.process_time()
    work()
    return Figure(name, ROWS * BATCHES / (time.process_time() - began), "summaries/s", None, True)
