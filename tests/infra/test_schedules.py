"""The sweep and the look for streams run every minute and nothing piles up behind them."""

from typing import Any

import pytest

from tests.infra.assembly import Assembly

each = pytest.mark.parametrize(
    ("logical_id", "function"), [("Sweep", "sweep"), ("StreamWake", "stream_wake")]
)


def schedule_of(assembly: Assembly, logical_id: str) -> dict[str, Any]:
    """The one schedule of a function."""
    arn = {"Fn::GetAtt": [logical_id, "Arn"]}
    schedules = assembly.resources("AWS::Scheduler::Schedule").values()
    (schedule,) = [one for one in schedules if one["Target"]["Arn"] == arn]
    return schedule


@each
def test_it_runs_every_minute_and_is_not_repeated(
    assembly: Assembly, logical_id: str, function: str
) -> None:
    """A late run is worth nothing: the next one does the same work. The defaults are 185
    repeats within a day."""
    schedule = schedule_of(assembly, logical_id)
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert schedule["State"] == "ENABLED"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    target = schedule["Target"]
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}
    assert assembly.functions()[function]["Timeout"] < 60


@each
def test_a_run_that_failed_is_left_for_the_alarm(
    assembly: Assembly, logical_id: str, function: str
) -> None:
    """Whether the scheduler could not call it or the function failed: one dead-letter queue, and
    Lambda does not call it again by itself either."""
    schedule = schedule_of(assembly, logical_id)
    invokes = assembly.resources("AWS::Lambda::EventInvokeConfig").values()
    (invoke,) = [one for one in invokes if one["FunctionName"] == {"Ref": logical_id}]
    assert invoke["MaximumRetryAttempts"] == 0
    assert invoke["MaximumEventAgeInSeconds"] == 60
    failed = invoke["DestinationConfig"]["OnFailure"]["Destination"]
    assert failed == schedule["Target"]["DeadLetterConfig"]["Arn"]
    assert failed["Fn::GetAtt"][0] in assembly.resources("AWS::SQS::Queue", "pce-schedules")


@each
def test_the_scheduler_may_call_its_function_only(
    assembly: Assembly, logical_id: str, function: str
) -> None:
    """Its role names one function and one queue."""
    schedule = schedule_of(assembly, logical_id)
    role = schedule["Target"]["RoleArn"]["Fn::GetAtt"][0]
    actions = {s["Action"] for holder, s in assembly.statements() if holder == role}
    assert actions == {"lambda:InvokeFunction", "sqs:SendMessage"}
