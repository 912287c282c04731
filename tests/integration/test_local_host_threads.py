"""The local host runs handlers in threads of one process: what they share must bear that."""

import subprocess
import sys

from tests.fakes.local_host import ROOT

PROGRAM = """
import threading, uuid
from pce.store.aws import aws_client
from pce.store.compression import pack_json, unpack_json

failures = []

def work(thread):
    try:
        aws_client("sqs", "us-east-1")
        document = {"thread": thread, "numbers": [(n * thread) % 977 for n in range(2000)]}
        for _ in range(300):
            if unpack_json(pack_json(document)) != document:
                failures.append("damaged")
    except Exception as error:
        failures.append(repr(error))

threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures
"""


def test_stores_bear_threads():
    """Eight threads at once damage nothing. In a process of its own: a shared compressor ends in a
    segmentation fault."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
