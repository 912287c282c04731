"""Report schedules: made when due, each once."""

import json
import time
from collections.abc import Iterator
from threading import Barrier, Thread
from typing import Any
from unittest import mock

import pytest

from functions.traffic_query.handler import handler as worker
from pce.runtime.wiring import Wiring
from pce.usecases import make_due_reports as module
from pce.usecases.make_due_reports import QUEUED_AGAIN_S, make_due_reports
from tests.fakes.api import Api
from tests.fakes.installation import installed

DAY_S = 86_400


@pytest.fixture
def now() -> int:
    """When the test began: what is scheduled is due by the real clock."""
    return int(time.time())


@pytest.fixture
def stores() -> Iterator[Wiring]:
    """An installation per test: what is due is looked for in all orgs."""
    with installed() as stores:
        yield stores


@pytest.fixture
def queued(stores: Wiring) -> Iterator[list[str]]:
    """Ids of the reports that were queued."""
    ids: list[str] = []
    with mock.patch.object(stores.queues, "run_report", lambda org_id, id: ids.append(id)):
        yield ids


def _schedule(api: Api, **more: Any) -> dict[str, Any]:
    body = {
        "report_template": {"href": f"{api.org}/report_templates/rule_hit_count_report"},
        "report_parameters": {"report_time_range": {"last_num_days": 1}},
        "report_generation_frequency": "daily",
        "description": "nightly",
        **more,
    }
    return api.post(f"{api.org}/report_schedules", body)


def _work(api: Api, report_id: str) -> None:
    body = json.dumps({"org_id": api.created["org_id"], "report_id": report_id})
    record = {"messageId": "1", "body": body, "eventSource": "aws:sqs", "attributes": {}}
    assert worker({"Records": [record]}, None) == {"batchItemFailures": []}


def test_a_due_report_is_made_once_and_then_in_its_rhythm(
    api: Api, stores: Wiring, queued: list[str], now: int
) -> None:
    """By the PCE itself, as its event says; times that passed in an outage are not made up for."""
    schedule = _schedule(api)
    assert make_due_reports(stores, now + 60) == 1
    [report] = api.get(f"{api.org}/reports")
    assert (report["description"], report["status"]) == ("nightly", "queued")
    assert api.get(schedule["href"])["last_report"] == {"href": report["href"]}
    [event] = api.events("report.create")
    assert event["created_by"] == {"system": {}}
    assert make_due_reports(stores, now + 120) == 0
    _work(api, queued[0])
    assert api.get(report["href"])["status"] == "done"
    for later, made in ((300, 0), (DAY_S - 60, 0), (DAY_S + 60, 1), (DAY_S + 120, 0)):
        assert make_due_reports(stores, now + later) == made, later
    _work(api, queued[-1])
    make_due_reports(stores, now + DAY_S + 180)
    assert make_due_reports(stores, now + 5 * DAY_S + 60) == 1
    assert len(queued) == len(set(queued)) == 3


def test_sweeps_that_overlap_make_one_report(
    api: Api, stores: Wiring, queued: list[str], now: int
) -> None:
    """Both have read that it is due; one of them writes it."""
    _schedule(api)
    both_know = Barrier(2)
    ordered = module.ordered_report

    def meet(*arguments: Any) -> Any:
        both_know.wait(10)
        return ordered(*arguments)

    made: list[int] = []
    with mock.patch.object(module, "ordered_report", meet):

        def sweep_once() -> None:
            made.append(make_due_reports(stores, now + 60))

        sweeps = [Thread(target=sweep_once) for _ in range(2)]
        for sweep in sweeps:
            sweep.start()
        for sweep in sweeps:
            sweep.join(20)
    assert sorted(made) == [0, 1]
    assert len(queued) == len(api.get(f"{api.org}/reports")) == 1


def test_a_report_whose_message_was_lost_is_queued_again(
    api: Api, stores: Wiring, queued: list[str], now: int
) -> None:
    """The process died between writing it down and telling the worker."""
    _schedule(api)
    with (
        mock.patch.object(stores.queues, "run_report", side_effect=RuntimeError("killed")),
        pytest.raises(RuntimeError),
    ):
        make_due_reports(stores, now + 60)
    assert make_due_reports(stores, now + 120) == 0 and not queued
    make_due_reports(stores, now + 60 + QUEUED_AGAIN_S)
    assert len(queued) == 1
    make_due_reports(stores, now + 120 + QUEUED_AGAIN_S)
    assert len(queued) == 1
    _work(api, queued[0])
    assert api.get(f"{api.org}/reports")[0]["status"] == "done"


def test_a_schedule_is_changed_switched_off_and_deleted(
    api: Api, stores: Wiring, queued: list[str], now: int
) -> None:
    """What is off is never due; switched on again, it begins anew."""
    schedule = _schedule(api, report_generation_frequency="once")
    href = schedule["href"]
    assert schedule["next_report_at"] and schedule["last_report"] is None
    api.put(href, {"enabled": False})
    assert api.get(href)["next_report_at"] is None
    assert make_due_reports(stores, now + 60) == 0
    api.put(href, {"enabled": True, "report_generation_frequency": "monthly"})
    assert make_due_reports(stores, now + 60) == 1
    api.delete(href)
    assert api.call("GET", href).status == 404
    assert make_due_reports(stores, now + 400 * DAY_S) == 0


def test_too_many_waiting_reports_wait_with_the_schedule(
    api: Api, stores: Wiring, queued: list[str], now: int
) -> None:
    """It stays due until there is room."""
    api.put(f"{api.org}/settings/reports", {"max_queued_reports": 1})
    _schedule(api), _schedule(api)
    assert make_due_reports(stores, now + 60) == 1
    assert make_due_reports(stores, now + 120) == 0
    _work(api, queued[0])
    assert make_due_reports(stores, now + 180) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"report_generation_frequency": "hourly"},
        {"report_parameters": {}},
        {"scheduled_at": "tomorrow"},
        {"send_by_email": True},
        {"report_template": {"href": "/orgs/1/report_templates/other"}},
        {
            "report_parameters": {
                "report_time_range": {
                    "start_date": "2026-11-01T00:00:00Z",
                    "end_date": "2026-11-02T00:00:00Z",
                }
            }
        },
    ],
)
def test_schedules_that_make_no_sense(api: Api, wrong: dict[str, Any]) -> None:
    """406, naming what is wrong, and none is made."""
    body = {
        "report_template": {"href": f"{api.org}/report_templates/rule_hit_count_report"},
        "report_parameters": {"report_time_range": {"last_num_days": 1}},
        "report_generation_frequency": "daily",
        **wrong,
    }
    assert api.call("POST", f"{api.org}/report_schedules", body).status == 406
    assert api.get(f"{api.org}/report_schedules") == []
