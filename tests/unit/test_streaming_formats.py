"""Streamed records as JSON, CEF, LEEF and RFC 5424 messages, whatever hosts and people wrote."""

import json
import re
from typing import Any

import pycef
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pce.streaming.cef import cef
from pce.streaming.characters import visible
from pce.streaming.leef import leef
from pce.streaming.records import Record
from pce.streaming.syslog_message import MAX_MESSAGE_BYTES, Format, framed, syslog_message

VERSION = "25.2.0"
HOSTILE = (
    "new\nline",
    "carriage\r\nreturn",
    "pi|pe",
    "a=b c=d",
    "quo\"te's",
    "back\\slash\\",
    "nul\0l",
    "tab\tbed",
    "esc\x1b[31m",
    "grüße, 東京",
    "next\x85line\u2028sep",
    '] [meta sequenceId="9"]',
    "CEF:0|x|y|",
    "",
)
FORMATS: tuple[Format, ...] = ("JSON", "CEF", "LEEF")
each_hostile = pytest.mark.parametrize("text", HOSTILE)


def flow(**parts: Any) -> Record:
    usual = {
        "version": 4,
        "timestamp": "2027-01-15T08:00:00.000Z",
        "interval_sec": 583,
        "count": 2,
        "dir": "I",
        "src_ip": "203.0.113.9",
        "dst_ip": "10.0.0.1",
        "proto": 6,
        "dst_port": 443,
        "state": "C",
        "pd": 0,
        "class": "U",
        "network": "Corporate",
        "dst_hostname": "web-1",
        "dst_href": "/orgs/1/workloads/w",
        "dst_labels": {"app": "shop"},
        "dst_tbi": 272,
        "dst_tbo": 10,
        "pce_fqdn": "pce.example.com",
        "org_id": 1,
    }
    return Record("flow_summary", {**usual, **parts})


def event(**parts: Any) -> Record:
    usual = {
        "href": "/orgs/1/events/e",
        "timestamp": "2027-01-15T08:00:00.123Z",
        "pce_fqdn": "pce.example.com",
        "created_by": {"user": {"href": "/users/7", "username": "ada@example.com"}},
        "event_type": "label.create",
        "status": "success",
        "severity": "info",
        "action": {
            "api_endpoint": "/api/v2/orgs/1/labels",
            "api_method": "POST",
            "http_status_code": 201,
            "src_ip": "192.0.2.1",
        },
        "resource_changes": [
            {"resource": {"label": {"href": "/l/1"}}, "changes": {"value": {"after": "x"}}}
        ],
        "notifications": [],
    }
    return Record("audit_event", {**usual, **parts})


def parsed(line: str) -> dict[str, str]:
    """What a public parser makes of a CEF line, with its escapes undone."""
    assert "\n" not in line and "\r" not in line
    found = pycef.parse(line)
    assert found is not None, line
    undone = {"\\\\": "\\", "\\=": "=", "\\n": "\n", "\\r": "\r"}
    return {k: re.sub(r"\\[\\=nr]", lambda m: undone[m[0]], v) for k, v in found.items()}


def test_an_event_as_cef() -> None:
    """Header, keys and labels of the vendor's stream."""
    line = cef(event(), VERSION)
    assert line.startswith(
        "CEF:0|Illumio|PCE|25.2.0|label.create.success|Label Create Success|1|"
        "rt=Jan 15 2027 08:00:00.123 +0000 dvchost=pce.example.com duid=7 duser=ada@example.com"
        " dst=192.0.2.1 outcome=success cat=audit_events request=/api/v2/orgs/1/labels"
        " requestMethod=POST reason=201 cs1=/orgs/1/events/e cs1Label=event_href cs2="
    )
    found = parsed(line)
    assert json.loads(found["resource_changes"])[0]["changes"] == {"value": {"after": "x"}}
    assert found["schema-version"] == "2"


def test_an_event_of_the_system_as_cef() -> None:
    """Nobody's call: no id, no request, no outcome; a detection is severe."""
    line = cef(event(created_by={"system": {}}, action=None, status=None, severity="err"), VERSION)
    assert "|label.create|Label Create|4|" in line
    assert " duser=system dst=pce.example.com outcome= cat=audit_events cs1=" in line
    assert "duid" not in line and "request=" not in line


def test_a_long_event_as_cef() -> None:
    """Two texts of 3,995 characters; beyond that, entries lose their changes."""
    long = {"resource": {}, "changes": {"description": {"after": "x" * 5_000}}}
    found = parsed(cef(event(resource_changes=[long]), VERSION))
    whole = found["resource_changes"] + found["resource_changes_2"]
    assert len(found["resource_changes"]) == 3_995
    assert json.loads(whole) == [long]
    found = parsed(cef(event(resource_changes=[long, long]), VERSION))
    assert json.loads(found["resource_changes"]) == [{"resource": {}}] * 2


def test_a_flow_as_cef() -> None:
    """What was decided, between whom, and the numbers, under the vendor's keys."""
    found = parsed(cef(flow(pn="nginx", un="www", ddms=5), VERSION))
    assert found["DeviceEventClassID"] == "flow_allowed"
    wanted = {
        "act": "allowed",
        "cat": "flow_summary",
        "deviceDirection": "0",
        "src": "203.0.113.9",
        "dst": "10.0.0.1",
        "dpt": "443",
        "proto": "tcp",
        "cnt": "2",
        "in": "272",
        "out": "10",
        "duser": "www",
        "dproc": "nginx",
        "dhost": "web-1",
        "interval_sec": "583",
        "state": "C",
        "dst_labels": '{"app":"shop"}',
        "dst_href": "/orgs/1/workloads/w",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert json.loads(found["msg"]) == {"trafclass_code": "U", "ddms": 5, "network": "Corporate"}
    out = cef(flow(dir="O", pd=2, state="", un="ada", pd_qualifier=1), VERSION)
    assert "|flow_blocked|Flow Blocked|5|" in out
    assert " deviceDirection=1 " in out and " suser=ada " in out


@each_hostile
def test_hostile_texts_in_cef(text: str) -> None:
    """The parser finds every key, and the text as it was but for control characters."""
    found = parsed(cef(flow(pn=text, dst_hostname=text, dst_labels={"app": text}), VERSION))
    if text.strip():
        assert found["dproc"] == found["dhost"] == visible(text)
    assert json.loads(found["dst_labels"]) == {"app": text}
    assert json.loads(found["msg"])["trafclass_code"] == "U"
    user = {"user": {"href": "/users/7", "username": text}}
    found = parsed(cef(event(created_by=user, resource_changes=[{"x": text}]), VERSION))
    assert json.loads(found["resource_changes"]) == [{"x": text}]
    assert found["cat"] == "audit_events"


@each_hostile
def test_hostile_texts_in_leef(text: str) -> None:
    """One tab between fields and none inside; the first equals sign of each ends its key."""
    for record in (flow(pn=text, dst_labels={"app": text}), event(resource_changes=[{"x": text}])):
        line = leef(record, VERSION)
        assert "\n" not in line and "\r" not in line and not re.search(r"[\x00-\x08\x7f]", line)
        head, delimiter, fields = line.rsplit("|", 2) if "|" not in text else line.split("|", 6)[4:]
        assert delimiter == "x09", head
        found = dict(field.split("=", 1) for field in fields.split("\t"))
        assert found["cat"] in ("flow_summary", "audit_events")
        if record.kind == "flow_summary":
            assert found["dstPort"] == "443"
            assert json.loads(found["dst_labels"]) == {"app": text}
            assert found["pn"] == visible(text).replace("\t", " ").replace("\r", "\\r").replace(
                "\n", "\\n"
            )


def test_an_event_as_leef() -> None:
    """Header and the format's own keys."""
    line = leef(event(), VERSION)
    assert line.startswith(
        "LEEF:2.0|Illumio|PCE|25.2.0|label.create.success|x09|cat=audit_events\t"
    )
    assert "\tdevTime=2027-01-15T08:00:00.123Z\t" in line
    assert "\tusrName=ada@example.com\tsrc=192.0.2.1\t" in line


def test_a_syslog_message() -> None:
    """Priority, time, host, application, message id and sequence number, then the document."""
    message = syslog_message(event(severity="err"), "JSON", 41, "pce.example.com", VERSION)
    header, text = message.decode().split("] ", 1)
    assert header == (
        "<11>1 2027-01-15T08:00:00.123Z pce.example.com illumio_pce/agent - audit_event"
        ' [meta sequenceId="42"'
    )
    assert json.loads(text) == {**event(severity="err").document, "version": 2}
    assert syslog_message(flow(), "JSON", 0, "", VERSION).startswith(
        b"<14>1 2027-01-15T08:00:00.000Z - illumio_pce/collector - flow_summary "
    )


@pytest.mark.parametrize("format", FORMATS)
@each_hostile
def test_hostile_texts_stay_in_their_message(text: str, format: Format) -> None:
    """No line end, no NUL, valid UTF-8, and nothing of the text in the header."""
    for record in (flow(pn=text, dst_hostname=text), event(event_type="label.create", x=text)):
        message = syslog_message(record, format, 0, text, VERSION)
        assert not set(message) & set(b"\n\r\0")
        message.decode()
        assert re.match(
            rb'<1\d>1 \S+Z [\x21-\x7e]{1,255} illumio_pce/\w+ - \w+ \[meta sequenceId="1"\] [{CL]',
            message,
        )


@pytest.mark.parametrize("format", FORMATS)
def test_a_large_event_loses_its_details(format: Format) -> None:
    """It fits a datagram and is still a whole document that says what happened."""
    change = {"resource": {"workload": {"name": "w" * 200}}, "changes": {"labels": ["x" * 500]}}
    for count in (200, 20_000):
        large = event(resource_changes=[change] * count)
        message = syslog_message(large, format, 0, "pce.example.com", VERSION)
        assert len(message) <= MAX_MESSAGE_BYTES
        assert b"label.create" in message
        if format == "JSON":
            left = json.loads(message.partition(b"] ")[2])
            assert left["href"] == "/orgs/1/events/e"
    notes = [{"info": "x" * 100_000}]
    message = syslog_message(event(notifications=notes), format, 0, "pce", VERSION)
    assert len(message) <= MAX_MESSAGE_BYTES


def test_messages_in_a_stream() -> None:
    """Told apart by their length, or by a line feed."""
    assert (
        framed([b"<14>1 a", "<14>1 ü".encode()], "octet_counting") == "7 <14>1 a8 <14>1 ü".encode()
    )
    assert framed([b"<14>1 a", b"<14>1 b"], "lf") == b"<14>1 a\n<14>1 b\n"


@given(st.text(), st.text())
def test_any_text_keeps_a_cef_line_whole(one: str, two: str) -> None:
    """Random texts as process and label: the keys behind them are found, unharmed."""
    found = parsed(cef(flow(pn=one, dst_labels={"app": two}), VERSION))
    assert found["dst_href"] == "/orgs/1/workloads/w"
    if one.strip():
        assert found["dproc"].strip() == visible(one).strip()
