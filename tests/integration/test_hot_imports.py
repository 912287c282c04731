"""What the functions that VENs call all day never load: the count behind their cold start.

``make bench`` measures the milliseconds. Here each function answers an ordinary event in a process
of its own, as in a new Lambda environment, and what it has loaded by then is looked at.
"""

import base64
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from pce.identifiers import OrgId
from pce.policy.parts import ClassPart, Target, narrow_name
from pce.presence.heartbeat import facts_hash
from pce.store.change import Change, PresenceChange
from pce.store.presence import token_hash
from tests.fakes.installation import installed
from tests.fakes.local_host import ROOT
from ven_protocol.flows import FlowSummary, encode_batch
from ven_protocol.messages import Heartbeat, HostFacts
from ven_protocol.paths import AgentToken

ORG = OrgId(1)
HEARTBEAT = Heartbeat(host=HostFacts(hostname="web-1", version="1.0.0"), uptime_seconds=5)

#: AWS's and other people's frameworks: each is more than everything that these functions need.
HEAVY = ("boto3", "botocore", "pynamodb", "aws_lambda_powertools", "urllib3", "requests", "asyncio")
#: Function -> what it never loads.
NEVER = {
    "ven_heartbeat": (*HEAVY, "zstandard"),
    "bolts_connect": (*HEAVY, "zstandard"),
    "ven_policy": HEAVY,
    "ven_flows": HEAVY,
}

PROGRAM = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("handler", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
reply = module.handler(json.loads(sys.argv[2]), None)
print(json.dumps([reply, sorted(sys.modules)]))
"""


@pytest.fixture
def token() -> Iterator[AgentToken]:
    """A VEN that was heard before, with a policy to fetch."""
    with installed() as stores:
        token = AgentToken.new(ORG, uuid.uuid4())
        created = PresenceChange(token.ven_id, create_at=100, token_hash=token_hash(token.secret))
        stores.objects.commit(Change(ORG, presence=(created,)))
        stores.presence.set_facts_hash(ORG, token.ven_id, facts_hash(HEARTBEAT))
        part = ClassPart(mode="full", visibility="flow_off")
        stores.policies.put_parts(ORG, {narrow_name(part): part}, 1)
        stores.presence.set_target(ORG, token.ven_id, Target(narrow_name(part), 0), 1, now=100)
        yield token


def event_for(function: str, token: AgentToken) -> dict[str, Any]:
    """An ordinary event of a VEN that nothing has happened to."""
    if function == "bolts_connect":
        headers = {"Authorization": f"Bearer {token}"}
        return {"headers": headers, "requestContext": {"connectionId": "Lk2jdc5eIAMCJ0w="}}
    method, body = {
        "ven_heartbeat": ("POST", msgspec.json.encode(HEARTBEAT)),
        "ven_policy": ("GET", b""),
        "ven_flows": ("POST", _flows()),
    }[function]
    return {
        "rawPath": f"/ven/v1/orgs/{ORG}/vens/{token.ven_id}/{function.removeprefix('ven_')}",
        "headers": {"authorization": f"Bearer {token}"},
        "pathParameters": {"org_id": str(ORG), "ven_id": str(token.ven_id)},
        "requestContext": {"http": {"method": method, "sourceIp": "192.0.2.1"}},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def _flows() -> bytes:
    now = int(time.time())
    flow = FlowSummary(
        src_ip=b"\x0a\x14\x00\x09",
        dst_ip=b"\x0a\x14\x00\x11",
        proto=6,
        dst_port=5432,
        dir="I",
        pd=1,
        first=now - 300,
        last=now - 5,
    )
    return encode_batch(1, now - 600, now, HEARTBEAT, [flow])


@pytest.mark.parametrize("function", NEVER)
def test_a_hot_function_answers_without_heavy_modules(function: str, token: AgentToken) -> None:
    """200 to an ordinary event, and none of the modules that it must do without is loaded."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM,
            str(ROOT / "functions" / function / "handler.py"),
            json.dumps(event_for(function, token)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reply, loaded = json.loads(done.stdout.splitlines()[-1])
    assert reply["statusCode"] == 200, reply
    assert "pce.store.dynamodb" in loaded
    assert not set(NEVER[function]) & set(loaded)
