"""A real `cdk deploy` of the real app into the emulator, then the end-to-end suite against it.

    .venv/bin/python -m tests.e2e.deploy_local [--keep] [arguments of pytest...]

`--keep` leaves the deployment up until Ctrl-C instead of running the suite. What the emulator does
not do is asserted on the template (tests/infra): time to live, throttles, alarms, retries.
"""

import argparse
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.emulator import ACCOUNT, REGION, ROOT, Emulator, running

BOOTSTRAP_TIMEOUT_S = 120
DEPLOY_TIMEOUT_S = 300
SUITE_TIMEOUT_S = 1_200
ARCHIVE_TIMEOUT_S = 240
"""Events are streamed when they are 70 s old, by what looks every minute."""

#: Short, so that a suite with silent VENs ends; the sweep still runs once a minute.
HEARTBEAT_INTERVAL_S = 300


def main() -> int:
    """Deploy, run the suite, clean up; returns the suite's exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="wait for Ctrl-C instead of testing")
    options, pytest_arguments = parser.parse_known_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the emulator is stopped
    folder = Path(tempfile.mkdtemp(prefix="pce-deploy-"))
    status = 1
    try:
        with running(folder) as emulator:
            credentials = deploy(emulator)
            if options.keep:
                print(f"deployed: {emulator.url}  {credentials}  log: {emulator.log}", flush=True)
                signal.pause()
            status = _run_suite(emulator, credentials, pytest_arguments)
            hidden = _hidden_failures(emulator) + _faults_of_archive(emulator)
            if hidden:
                print(
                    "deploy-local: failed behind the tests' back:", *hidden, sep="\n  ", flush=True
                )
                status = status or 1
    except KeyboardInterrupt:
        status = 0 if options.keep else 130
    finally:
        if status:
            print(f"deploy-local: the emulator's log and state are left in {folder}", flush=True)
        else:
            shutil.rmtree(folder)
    return status


def deploy(emulator: Emulator) -> Path:
    """Bootstrap, deploy all stacks, make up for what the emulator leaves out, create an org.

    Returns the credentials file, in the form that the local host writes.
    """
    assembly = emulator.folder / "cdk.out"
    context = {
        "layers": "local",
        "url": emulator.url,
        "bolts_url": emulator.bolts_url,
        "bolts_management_base": f"{emulator.endpoint}/_aws/execute-api",
        "archive_url": emulator.url,
        "heartbeat_interval_s": HEARTBEAT_INTERVAL_S,
    }
    with _step("synthesized"):
        said = [f"--context={name}={value}" for name, value in context.items()]
        _cdk(emulator, ["synth", "--quiet", f"--output={assembly}", *said], DEPLOY_TIMEOUT_S)
    app = f"--app={assembly}"
    with _step("bootstrapped"):
        _cdk(emulator, ["bootstrap", app, f"aws://{ACCOUNT}/{REGION}"], BOOTSTRAP_TIMEOUT_S)
    outputs_file = emulator.folder / "outputs.json"
    with _step("deployed"):
        _cdk(
            emulator,
            ["deploy", app, "--all", "--require-approval=never", f"--outputs-file={outputs_file}"],
            DEPLOY_TIMEOUT_S,
        )
    outputs = {
        name: value
        for stack in json.loads(outputs_file.read_text()).values()
        for name, value in stack.items()
    }
    emulator.routes.write_text(
        json.dumps({"http": outputs["HttpApiId"], "websocket": outputs["BoltsApiId"]})
    )
    _switch_on_time_to_live(emulator, assembly)
    with _step("org created"):
        credentials = _create_org(emulator, outputs["OrgCreateFunction"])
    file = emulator.folder / "credentials.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(credentials, indent=2))
    return file


def _create_org(emulator: Emulator, function: str) -> dict[str, Any]:
    answer = emulator.client("lambda").invoke(
        FunctionName=function, Payload=json.dumps({"name": "deploy-local"})
    )
    payload = answer["Payload"].read().decode()
    if "FunctionError" in answer:
        raise RuntimeError(f"{function} failed: {payload}\nlog: {emulator.log}")
    return {
        "url": emulator.url,
        "bolts_url": emulator.bolts_url,
        "ca_file": str(emulator.ca_file),
        **json.loads(payload),
    }


def _switch_on_time_to_live(emulator: Emulator, assembly: Path) -> None:
    """The emulator drops the template's TTL; set it as the template says."""
    dynamodb, cloudformation = emulator.client("dynamodb"), emulator.client("cloudformation")
    for template in sorted(assembly.glob("*.template.json")):
        stack = template.name.removesuffix(".template.json")
        for logical_id, resource in json.loads(template.read_text())["Resources"].items():
            wanted = resource.get("Properties", {}).get("TimeToLiveSpecification")
            if not wanted:
                continue
            detail = cloudformation.describe_stack_resource(
                StackName=stack, LogicalResourceId=logical_id
            )["StackResourceDetail"]
            dynamodb.update_time_to_live(
                TableName=detail["PhysicalResourceId"],
                TimeToLiveSpecification={
                    "AttributeName": wanted["AttributeName"],
                    "Enabled": True,
                },
            )


def _run_suite(emulator: Emulator, credentials: Path, arguments: list[str]) -> int:
    """The end-to-end suite, in the environment that an operator would have."""
    suite = [
        *(sys.executable, "-m", "pytest", "tests/e2e", f"--target-credentials={credentials}"),
        # These start local hosts of their own, whatever is deployed.
        "--ignore=tests/e2e/test_crash_safety.py",
        "--ignore=tests/e2e/test_public_clients.py",
    ]
    return subprocess.run(
        [*suite, *arguments], cwd=ROOT, timeout=SUITE_TIMEOUT_S, check=False
    ).returncode


def _hidden_failures(emulator: Emulator) -> list[str]:
    """What no reply shows: work that was given up or failed, and rights that a role lacks."""
    signs = ("AccessDenied", "failed processing SQS batch")
    lines = emulator.log.read_text(errors="replace").splitlines()
    found = {line.strip()[:400] for line in lines if any(sign in line for sign in signs)}
    sqs = emulator.client("sqs")
    for url in sqs.list_queues()["QueueUrls"]:
        name = "ApproximateNumberOfMessages"
        count = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
        if "DeadLetters" in url and count != "0":
            found.add(f"{count} messages in {url}")
    return sorted(found)


def _faults_of_archive(emulator: Emulator) -> list[str]:
    """What is wrong with the archive after a suite: nothing in it, or something outside of its
    layout. The emulator's Firehose buffers nothing, and calls the function that tells the place."""
    s3 = emulator.client("s3")
    outputs = json.loads((emulator.folder / "outputs.json").read_text())
    (bucket,) = (stack["RecordsBucket"] for stack in outputs.values() if "RecordsBucket" in stack)
    hour = r"\d{4}/\d\d/\d\d/\d\d/pce-"
    layout = re.compile(
        rf"localhost/org_id=\d+/(summaries/pd=[0-3]/{hour}summaries|auditable/{hour}auditable)"
        r"-[\w-]+\.json\.gz"
    )
    deadline = time.monotonic() + ARCHIVE_TIMEOUT_S
    while True:
        listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        found = {match[1].split("/")[0] for o in listed if (match := layout.fullmatch(o["Key"]))}
        misplaced = [o["Key"] for o in listed if not layout.fullmatch(o["Key"])]
        if misplaced or found == {"summaries", "auditable"}:
            break
        if time.monotonic() > deadline:
            return [f"the archive has only {sorted(found)} after {ARCHIVE_TIMEOUT_S} s"]
        time.sleep(5)
    for found_object in listed:
        body = s3.get_object(Bucket=bucket, Key=found_object["Key"])["Body"].read()
        for line in gzip.decompress(body).splitlines():
            json.loads(line)
    print(
        f"deploy-local: {len(listed)} objects in the archive, e.g. {listed[0]['Key']}", flush=True
    )
    return [f"not in the layout of the archive: {key}" for key in misplaced]


def _cdk(emulator: Emulator, arguments: list[str], timeout_s: int) -> None:
    """Run the CDK's command line. Its output is shown only when it fails, for it is long."""
    tools = [str(ROOT / ".venv" / "bin"), str(ROOT / "node_modules" / ".bin")]
    environment = {
        **emulator.environment(),
        "PATH": os.pathsep.join([*tools, os.environ["PATH"]]),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
    }
    done = subprocess.run(
        ["cdk", *arguments],
        cwd=ROOT,
        env=environment,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"cdk {arguments[0]} failed:\n{done.stdout}\nlog: {emulator.log}")


@contextmanager
def _step(name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"deploy-local: {name} in {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
