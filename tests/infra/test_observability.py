"""Alarms and dashboard. The emulator stores them and no more, so they are read here."""

import json
import re
from typing import Any

import pytest

from tests.infra.assembly import ROOT, Assembly

FREE_ALARMS = 10


def alarms(assembly: Assembly) -> dict[str, dict[str, Any]]:
    found = assembly.resources("AWS::CloudWatch::Alarm").values()
    return {alarm["AlarmName"].removeprefix("pce-"): alarm for alarm in found}


@pytest.mark.parametrize(
    ("name", "metric", "namespace", "comparison", "threshold", "when_silent"),
    [
        ("HttpErrors", "5xx", "AWS/ApiGateway", ">", 0, "notBreaching"),
        ("BoltErrors", "IntegrationError", "AWS/ApiGateway", ">", 0, "notBreaching"),
        ("FunctionErrors", "Errors", "AWS/Lambda", ">", 0, "notBreaching"),
        ("FunctionThrottles", "Throttles", "AWS/Lambda", ">", 0, "notBreaching"),
        ("SweepNotRun", "SweepCompleted", "PCE", "<", 1, "breaching"),
        ("CompileLag", "CompileLagSeconds", "PCE", ">", 60, "notBreaching"),
        ("MassOfflineBrake", "MassOfflineBrake", "PCE", ">", 0, "notBreaching"),
        ("StreamBacklog", "StreamBacklogSeconds", "PCE", ">", 3600, "notBreaching"),
    ],
)
def test_alarm(
    assembly: Assembly,
    name: str,
    metric: str,
    namespace: str,
    comparison: str,
    threshold: float,
    when_silent: str,
) -> None:
    """What goes wrong raises an alarm; silence is bad news from the sweep alone."""
    alarm = alarms(assembly)[name]
    assert (alarm["MetricName"], alarm["Namespace"]) == (metric, namespace)
    operator = {">": "GreaterThanThreshold", "<": "LessThanThreshold"}[comparison]
    assert alarm["ComparisonOperator"] == operator
    assert alarm["Threshold"] == threshold
    assert alarm["TreatMissingData"] == when_silent


def test_every_dead_letter_queue_has_an_alarm(assembly: Assembly) -> None:
    """One message is enough: work was given up."""
    watched = [
        alarm["Dimensions"][0]["Value"]
        for alarm in alarms(assembly).values()
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    ]
    queues = [id for id in assembly.resources("AWS::SQS::Queue") if "DeadLetters" in id]
    assert len(queues) == 5
    for queue in queues:
        assert any(queue in json.dumps(name) for name in watched), queue


def test_somebody_is_told(assembly: Assembly) -> None:
    """Every alarm reports to the topic when it is raised and when it is over, and says in words
    what it means."""
    (topic,) = assembly.resources("AWS::SNS::Topic")
    for name, alarm in alarms(assembly).items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}], name
        assert len(alarm["AlarmDescription"]) > 40, name


def test_alarms_and_dashboard_stay_within_the_idle_budget(assembly: Assembly) -> None:
    """Alarms beyond ten cost 0.10 USD a month each, dashboards beyond three cost 3 USD; an idle
    deployment has 2 USD for everything."""
    paid = max(0, len(alarms(assembly)) - FREE_ALARMS)
    assert paid <= 3
    assert len(assembly.resources("AWS::CloudWatch::Dashboard")) == 1


def test_own_metrics_are_those_that_the_functions_write(assembly: Assembly) -> None:
    """An alarm on a metric that nobody writes would never be raised."""
    watched = {a["MetricName"] for a in alarms(assembly).values() if a["Namespace"] == "PCE"}
    handlers = "".join(file.read_text() for file in (ROOT / "functions").glob("*/handler.py"))
    assert {name for name in watched if re.search(rf'"{name}":', handlers)} == watched


def test_the_dashboard_shows_each_part(assembly: Assembly) -> None:
    """Requests, latency, bolts, functions, sweeps, queues, tables."""
    (dashboard,) = assembly.resources("AWS::CloudWatch::Dashboard").values()
    body = json.dumps(dashboard["DashboardBody"])
    for shown in (
        *("5xx", "Latency", "ConnectCount", "CompileLagSeconds", "SweepCompleted"),
        *("ApproximateAgeOfOldestMessage", "ConsumedWriteCapacityUnits", "Throttles"),
    ):
        assert shown in body
