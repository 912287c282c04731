"""The functions of the template do what their page says: infra/functions.py."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from infra.constructs.pce_function import construct_id
from infra.functions import FUNCTIONS, FunctionSpec
from pce.store import arrivals, event_log
from tests.infra.assembly import ROOT, Assembly, listed

TABLE_NAMES = ("Presence", "Objects", "Events", "Flows", "Policy")

each_function = pytest.mark.parametrize("spec", FUNCTIONS, ids=lambda spec: spec.name)


def test_every_folder_is_deployed_and_every_line_has_a_folder() -> None:
    """A function cannot be written and forgotten, nor named and not written."""
    written = {handler.parent.name for handler in (ROOT / "functions").glob("*/handler.py")}
    assert {spec.name for spec in FUNCTIONS} == written


@each_function
def test_runtime_size_and_logs(assembly: Assembly, spec: FunctionSpec) -> None:
    """Python 3.14 on arm64, the size on its page, JSON logs without platform lines that end after
    a month, in a group that is the function's own."""
    function = assembly.functions()[spec.name]
    assert function["Runtime"] == "python3.14"
    assert function["Architectures"] == ["arm64"]
    assert function["Handler"] == "handler.handler"
    assert function["MemorySize"] == spec.size.memory_mb
    assert function["Timeout"] == spec.size.timeout_s
    assert len(function["Layers"]) == 3
    logging = function["LoggingConfig"]
    assert logging["LogFormat"] == "JSON"
    assert logging["SystemLogLevel"] == "WARN"
    assert logging["ApplicationLogLevel"] == ("INFO" if spec.emits_metrics else "WARN")
    group = assembly.resources("AWS::Logs::LogGroup")[logging["LogGroup"]["Ref"]]
    assert group == {"LogGroupName": f"/aws/lambda/pce-{spec.name}", "RetentionInDays": 30}
    assert not {"TracingConfig", "VpcConfig", "SnapStart", "KmsKeyArn"} & set(function)


@each_function
def test_a_function_is_told_only_what_it_uses(assembly: Assembly, spec: FunctionSpec) -> None:
    """A variable for each table, queue and bucket granted, for the queue that it works off, and
    the settings on its page."""
    variables = assembly.functions()[spec.name].get("Environment", {}).get("Variables", {})
    expected = {f"PCE_{table.upper()}_TABLE" for table in spec.tables}
    queues = {*spec.sends} | ({spec.queue} if spec.queue else set())
    expected |= {f"PCE_{queue.removesuffix('_queries').upper()}_QUEUE_URL" for queue in queues}
    expected |= {"PCE_BUCKET"} if spec.bucket else set()
    expected |= set(spec.settings) - {"PCE_ARCHIVE_URL"}  # for emulators only
    assert set(variables) == expected


@each_function
def test_a_role_may_do_what_its_page_says_and_nothing_else(
    assembly: Assembly, spec: FunctionSpec
) -> None:
    """Every right of the role, action by action, is one of the page's or comes with a trigger."""
    expected = {f"logs:{action} own log" for action in ("CreateLogStream", "PutLogEvents")}
    for table, actions in spec.tables.items():
        expected |= {f"dynamodb:{action} {table.capitalize()}" for action in actions}
    for queue in spec.sends:
        expected.add(f"sqs:SendMessage {construct_id(queue)}Queue")
    for folder, actions in spec.bucket.items():
        expected |= {f"s3:{action} Archive/{folder}/*" for action in actions}
        if "GetObject" in actions:
            expected.add("s3:ListBucket Archive")
    if spec.posts_bolts:
        expected.add("execute-api:ManageConnections bolts/POST/@connections/*")
    if spec.fills_archive:
        expected |= {f"firehose:PutRecordBatch Records{s}" for s in ("Summaries", "Auditable")}
    if spec.queue:
        expected |= {
            f"sqs:{action} {construct_id(spec.queue)}Queue"
            for action in (
                *("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"),
                *("GetQueueAttributes", "GetQueueUrl"),
            )
        }
    if spec.name in ("sweep", "stream_wake"):  # where Lambda leaves the invocations that failed
        expected |= {
            f"sqs:{action} SweepEveryMinuteDeadLetters"
            for action in ("SendMessage", "GetQueueAttributes", "GetQueueUrl")
        }
    assert set(_rights(assembly, spec)) == expected


def test_no_role_holds_a_wildcard_action_or_every_resource(assembly: Assembly) -> None:
    """Not only functions: whatever role the app makes."""
    statements = list(assembly.statements())
    assert len(statements) > len(FUNCTIONS)
    for role, statement in statements:
        assert statement["Effect"] == "Allow", role
        assert not [action for action in listed(statement["Action"]) if "*" in action], role
        assert "*" not in listed(statement["Resource"]), role
    for properties in assembly.resources("AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in properties
        assert "Policies" not in properties


def test_nothing_appears_behind_what_was_streamed() -> None:
    """Streams read what is older than the longest life of whoever writes it, with 10 s for clocks
    that differ."""
    writers = [spec for spec in FUNCTIONS if "PutItem" in spec.tables.get("events", ())]
    assert max(spec.size.timeout_s for spec in writers) + 10 <= event_log.SETTLED_AFTER_S
    (flows,) = (spec for spec in FUNCTIONS if spec.name == "ven_flows")
    assert flows.size.timeout_s + 10 <= arrivals.SETTLED_AFTER_S


def test_only_the_sweep_scans() -> None:
    """A scan reads a whole table; one function may, of one table."""
    scanning = {
        (spec.name, table)
        for spec in FUNCTIONS
        for table, actions in spec.tables.items()
        if "Scan" in actions
    }
    assert scanning == {("sweep", "presence")}


def _rights(assembly: Assembly, spec: FunctionSpec) -> Iterator[str]:
    role = assembly.functions()[spec.name]["Role"]["Fn::GetAtt"][0]
    for holder, statement in assembly.statements():
        if holder != role:
            continue
        for action in listed(statement["Action"]):
            for resource in listed(statement["Resource"]):
                yield f"{action} {_place(resource, construct_id(spec.name))}"


def _place(resource: Any, function: str) -> str:
    """A short name of what an ARN in a template stands for."""
    if "Fn::GetAtt" in resource:
        name = str(resource["Fn::GetAtt"][0])
        return "own log" if name.startswith(f"{function}Log") else _unhashed(name)
    if "Fn::ImportValue" in resource:
        imported = re.fullmatch(
            r"pce-data:ExportsOutputFnGetAtt(\w+)Arn\w{8}", resource["Fn::ImportValue"]
        )
        assert imported, resource
        return _unhashed(imported[1])
    parts = resource["Fn::Join"][1]
    first, last = parts[0], parts[-1]
    if isinstance(first, dict):
        return f"{_place(first, function)}{last}"
    return str(last).removeprefix("/")


def _unhashed(logical_id: str) -> str:
    return re.sub(r"[0-9A-F]{8}$", "", logical_id)
