"""The sweep runs every minute and nothing piles up behind it."""

from tests.infra.assembly import Assembly


def test_the_sweep_runs_every_minute_and_is_not_repeated(assembly: Assembly) -> None:
    """A late sweep is worth nothing: the next one does the same work. The defaults are 185
    repeats within a day."""
    (schedule,) = assembly.resources("AWS::Scheduler::Schedule").values()
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert schedule["State"] == "ENABLED"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    target = schedule["Target"]
    assert target["Arn"] == {"Fn::GetAtt": ["Sweep", "Arn"]}
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}
    assert assembly.functions()["sweep"]["Timeout"] < 60


def test_a_sweep_that_failed_is_left_for_the_alarm(assembly: Assembly) -> None:
    """Whether the scheduler could not call it or the function failed: one dead-letter queue, and
    Lambda does not call it again by itself either."""
    (schedule,) = assembly.resources("AWS::Scheduler::Schedule").values()
    (invoke,) = assembly.resources("AWS::Lambda::EventInvokeConfig").values()
    assert invoke["FunctionName"] == {"Ref": "Sweep"}
    assert invoke["MaximumRetryAttempts"] == 0
    assert invoke["MaximumEventAgeInSeconds"] == 60
    failed = invoke["DestinationConfig"]["OnFailure"]["Destination"]
    assert failed == schedule["Target"]["DeadLetterConfig"]["Arn"]
    assert failed["Fn::GetAtt"][0] in assembly.resources("AWS::SQS::Queue", "pce-schedules")


def test_the_scheduler_may_call_the_sweep_only(assembly: Assembly) -> None:
    """Its role names one function and one queue."""
    (schedule,) = assembly.resources("AWS::Scheduler::Schedule").values()
    role = schedule["Target"]["RoleArn"]["Fn::GetAtt"][0]
    actions = {s["Action"] for holder, s in assembly.statements() if holder == role}
    assert actions == {"lambda:InvokeFunction", "sqs:SendMessage"}
