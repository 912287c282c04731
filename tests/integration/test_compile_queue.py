"""The compile queue's worker: one org's trouble is its own, and it is over soon."""

import importlib.util
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.usecases import warm_engines
from pce.usecases.compile_policy import compile_policy
from pce.usecases.create_org import create_org
from tests.fakes.installation import Requests, installed
from tests.fakes.policy_org import PolicyOrg

HANDLER = Path(__file__).parents[2] / "functions/policy_compile/handler.py"


@pytest.fixture
def stores() -> Iterator[Wiring]:
    with installed() as stores:
        for name in ("one", "two"):
            create_org(name, "", stores, 1_790_000_000)
        yield stores


def worker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("policy_compile_handler", HANDLER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def message(number: int, org_id: int, received: int = 1) -> dict[str, object]:
    return {
        "messageId": f"m{number}",
        "receiptHandle": f"r{number}",
        "body": json.dumps({"org_id": org_id}),
        "attributes": {"MessageGroupId": str(org_id), "ApproximateReceiveCount": str(received)},
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:compile.fifo",
        "awsRegion": "us-east-1",
    }


def test_an_org_is_compiled_once_a_batch(stores: Wiring) -> None:
    """Wake-ups that arrive together are one compile."""
    module = worker()
    event = {"Records": [message(1, 1), message(2, 1), message(3, 2)]}
    with mock.patch.object(module, "compile_policy", wraps=module.compile_policy) as compiled:
        assert module.handler(event, None) == {"batchItemFailures": []}
    assert [call.args[0] for call in compiled.call_args_list] == [1, 2]
    assert not stores.objects.change_log(1) and not stores.objects.change_log(2)  # type: ignore[arg-type]


def test_a_failing_org_holds_up_no_other_and_is_tried_again_soon(stores: Wiring) -> None:
    """Only the failing org's messages come back, the first after 5 seconds, then 10, 20, ..."""
    module, real = worker(), worker().compile_policy

    def fail_for_one(org_id: int, *arguments: object, **named: object) -> object:
        if org_id == 1:
            raise TimeoutError("the store is away")
        return real(org_id, *arguments, **named)

    event = {"Records": [message(1, 1, received=2), message(2, 2)]}
    with (
        mock.patch.object(module, "compile_policy", fail_for_one),
        mock.patch.object(stores.queues, "compile_again") as again,
    ):
        assert module.handler(event, None) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    again.assert_called_once_with("r1", 2)
    assert stores.objects.change_log(1)  # type: ignore[arg-type]
    assert not stores.objects.change_log(2)  # type: ignore[arg-type]


def test_a_message_that_comes_again_is_compiled_afresh(stores: Wiring) -> None:
    """Who had it before may have written half of what it was about to, unknown to this worker."""
    module = worker()
    module.handler({"Records": [message(1, 1)]}, None)
    with mock.patch.object(module, "compile_policy", wraps=module.compile_policy) as compiled:
        module.handler({"Records": [message(2, 1), message(3, 1, received=2)]}, None)
    assert [call.kwargs["afresh"] for call in compiled.call_args_list] == [False, True]


def test_messages_that_come_again_together_are_one_compile(stores: Wiring) -> None:
    """One that read everything has done the work of all of them."""
    module = worker()
    event = {"Records": [message(number, 1, received=2) for number in range(10)]}
    with mock.patch.object(module, "compile_policy", wraps=module.compile_policy) as compiled:
        assert module.handler(event, None) == {"batchItemFailures": []}
    assert [call.kwargs["afresh"] for call in compiled.call_args_list] == [True]


def test_an_org_that_grows_takes_its_room(stores: Wiring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines are counted by the workloads that they have now, not by those of their first day."""
    monkeypatch.setattr(warm_engines, "MAX_WORKLOADS", 250)
    small, growing = OrgId(1), PolicyOrg(stores, OrgId(2))
    for org_id in (small, growing.org_id):
        compile_policy(org_id, stores, time.time)
    growing.label(1)
    growing.add(*range(60), label=1)
    growing.compile()
    assert stores.engines.take(small) is None
    assert stores.engines.take(growing.org_id)


def test_a_wake_up_without_changes_reads_the_log_alone(stores: Wiring) -> None:
    """Wake-ups that come after another has done their work cost one query each."""
    module = worker()
    module.handler({"Records": [message(1, 1)]}, None)
    with Requests(stores) as requests:
        module.handler({"Records": [message(2, 1)]}, None)
    assert requests.counts == {"Query": 1}


def test_waits_grow_and_are_bounded(stores: Wiring) -> None:
    """Seconds by attempt."""
    seen = []
    with mock.patch.object(stores.queues, "_client") as client:
        for attempt in range(1, 9):
            stores.queues.compile_again("r", attempt)
            seen.append(client.change_message_visibility.call_args.kwargs["VisibilityTimeout"])
    assert seen == [5, 10, 20, 40, 80, 120, 120, 120]
