"""What a heartbeat costs: requests, CPU in the handler, cold start of the function."""

import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from bench.figure import Figure

ROOT = Path(__file__).parent.parent
CALLS = 600
COLD_STARTS = 7
OLD_ITEM = {
    "Attributes": {
        "p": {"S": "1#0a"},
        "v": {"B": "AAECAwQFBgcICQoLDA0ODw=="},
        "hb": {"N": "1800000000"},
        "te": {"S": "0" * 32},
        "fh": {"B": ""},
    }
}
COLD_START = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("handler", sys.argv[1])
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
from pce.runtime.wiring import wiring
for store in sys.argv[2].split():
    getattr(wiring(), store)
print(time.process_time())
"""


def measure() -> list[Figure]:
    """CPU per heartbeat in process against a store that answers at once, and cold starts."""
    figures = [_cpu_per_heartbeat()]
    for function, stores in (
        ("ven_heartbeat", "presence"),
        ("ven_policy", "presence policies"),
        ("ven_flows", "presence flows directory"),
    ):
        seconds = _cold_start(function, stores)
        figures.append(
            Figure(f"cold start of {function}", seconds * 1000, "ms", 250, seconds <= 0.25)
        )
    return figures


class _Store(BaseHTTPRequestHandler):
    """Answers every request with the old item, as a fast DynamoDB would."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment: two would wait 40 ms for an acknowledgement

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(self.server.item).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def _environment(endpoint: str) -> dict[str, str]:
    paths = ("layers/pce/python", "layers/ven_protocol/python")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(ROOT / path) for path in paths),
        "AWS_ENDPOINT_URL": endpoint,  # empty is AWS's own, over TLS
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "PCE_PRESENCE_TABLE": "presence",
        "PCE_POLICY_TABLE": "policy",
        "PCE_FLOWS_TABLE": "flows",
        "PCE_BUCKET": "archive",
        "PCE_BOLTS_URL": "wss://localhost/bolts",
    }


WARM = """
import importlib.util, json, sys, time, uuid
spec = importlib.util.spec_from_file_location("handler", sys.argv[1])
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
event = json.loads(sys.argv[2]); calls = int(sys.argv[3])
for _ in range(50):
    assert module.handler(event, None)["statusCode"] == 200
began = time.process_time()
for _ in range(calls):
    module.handler(event, None)
print((time.process_time() - began) / calls)
"""


def _cpu_per_heartbeat() -> Figure:
    """Process CPU of the handler, the store's client and the request's signing included."""
    import base64

    from pce.presence.heartbeat import facts_hash
    from ven_protocol.messages import Heartbeat, HostFacts
    from ven_protocol.paths import AgentToken

    host = HostFacts(hostname="web-1", version="1.0.0", os_id="debian 12")
    item = json.loads(json.dumps(OLD_ITEM))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Store)
    server.item = item  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, daemon=True).start()
    import msgspec

    token = AgentToken.new(1, uuid.UUID(bytes=bytes(range(16))))
    heartbeat = Heartbeat(host=host, uptime_seconds=1, applied_etag="0" * 32)
    item["Attributes"]["fh"]["B"] = base64.b64encode(facts_hash(heartbeat)).decode()
    event = {
        "rawPath": f"/ven/v1/orgs/1/vens/{token.ven_id}/heartbeat",
        "headers": {"authorization": f"Bearer {token}", "content-type": "application/json"},
        "pathParameters": {"org_id": "1", "ven_id": str(token.ven_id)},
        "requestContext": {"http": {"method": "POST", "sourceIp": "192.0.2.1"}},
        "body": msgspec.json.encode(heartbeat).decode(),
        "isBase64Encoded": False,
    }
    handler = str(ROOT / "functions/ven_heartbeat/handler.py")
    endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        found = [
            float(_run(WARM, handler, json.dumps(event), str(CALLS), endpoint=endpoint))
            for _ in range(3)
        ]
    finally:
        server.shutdown()
    milliseconds = min(found) * 1000
    return Figure("heartbeat, CPU in the handler", milliseconds, "ms", 1, milliseconds <= 1)


def _cold_start(function: str, stores: str) -> float:
    """CPU seconds of a process that gets ready for its first event: interpreter, imports, clients
    and the certificates that they trust. A core of its own spends them as time."""
    handler = str(ROOT / "functions" / function / "handler.py")
    found = [float(_run(COLD_START, handler, stores, endpoint="")) for _ in range(COLD_STARTS)]
    return statistics.median(found)


def _run(program: str, *arguments: str, endpoint: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=_environment(endpoint),
        capture_output=True,
        text=True,
        timeout=60,  # seconds; each run takes about one
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


if __name__ == "__main__":
    began = time.perf_counter()
    for figure in measure():
        print(figure)
    print(f"{time.perf_counter() - began:.1f} s")
