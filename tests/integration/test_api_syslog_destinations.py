"""Syslog destinations in the management API; that they get what they ask for is in
``test_streaming.py``."""

from typing import Any

import pytest

from tests.fakes.api import Api


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "local_syslog"}, "type"),
        ({"remote_syslog": None}, "remote_syslog"),
        ({"remote_syslog": {"address": "h", "port": 0, "protocol": 6}}, "remote_syslog.port"),
        ({"remote_syslog": {"address": "h", "port": 1, "protocol": 1}}, "remote_syslog.protocol"),
        ({"remote_syslog": {"address": "a b", "port": 1, "protocol": 6}}, "remote_syslog.address"),
        (
            {
                "remote_syslog": {
                    **{"address": "h", "port": 1, "protocol": 6},
                    **{"tls_enabled": True, "tls_verify_cert": False},
                }
            },
            "remote_syslog.tls_verify_cert",
        ),
        (
            {"remote_syslog": {"address": "h", "port": 1, "protocol": 17, "tls_enabled": True}},
            "remote_syslog.tls_enabled",
        ),
        (
            {"remote_syslog": {"address": "h", "port": 1, "protocol": 6, "tls_ca_bundle": "x"}},
            "remote_syslog.tls_ca_bundle",
        ),
    ],
)
def test_destinations_that_make_no_sense_are_406(
    shared_api: Api, change: dict[str, Any], field: str
) -> None:
    """The answer names the attribute, and nothing is made."""
    path = f"{shared_api.org}/settings/syslog/destinations"
    remote = {"address": "syslog.example.com", "port": 514, "protocol": 6}
    body = {"pce_scope": [], "type": "remote_syslog", "remote_syslog": remote, **change}
    answer = shared_api.call("POST", path, body)
    assert answer.status == 406
    assert field in [problem.get("field") for problem in answer.json], answer.json
    assert shared_api.get(path) == []


def test_a_destination_is_made_changed_and_deleted(api: Api) -> None:
    """As other objects: 201, 204, 204, with an event each, and defaults for what was not said."""
    path = f"{api.org}/settings/syslog/destinations"
    remote = {"address": "syslog.example.com", "port": 6514, "protocol": 6, "tls_enabled": True}
    body = {"pce_scope": ["pce.test"], "type": "remote_syslog", "remote_syslog": remote}
    made = api.post(path, body)
    assert made["href"].startswith(f"{path}/")
    assert made["audit_event_logger"]["min_severity"] == "informational"
    assert made["delivery"]["backlog_seconds"] == 0
    api.put(made["href"], {"description": "SIEM"})
    [listed] = api.get(path)
    assert (listed["description"], listed["remote_syslog"]) == ("SIEM", remote)
    api.delete(made["href"])
    assert api.get(path) == []
    for verb in ("create", "update", "delete"):
        assert list(api.events(f"syslog_destination.{verb}"))


def test_an_org_has_only_so_many_destinations(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs the work of reading everything again."""
    monkeypatch.setattr("pce.usecases.stream_destinations.MAX_DESTINATIONS", 1)
    path = f"{api.org}/settings/syslog/destinations"
    remote = {"address": "h", "port": 514, "protocol": 6}
    body = {"pce_scope": [], "type": "remote_syslog", "remote_syslog": remote}
    api.post(path, body)
    assert api.call("POST", path, body).tokens == ["syslog_destinations_limit"]
