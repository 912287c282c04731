"""What the local host has acknowledged survives kill -9."""

import http.client
import random
import threading
import time

import pytest

from tests.fakes.local_host import FAKE_FUNCTIONS, LocalHost

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]

KILLS = 20
WRITERS = 4
LIFE_S = (0.02, 1.0)
"""How long a host lives between `ready` and kill -9: the range of a random choice."""


def write_until_killed(host: LocalHost, writer: str, acknowledged: list[str]) -> None:
    """Write as fast as the host answers; note what it acknowledged."""
    client = host.client()
    number = 0
    try:
        while True:
            name = f"{writer}-{number}"
            if client.call("POST", "/api/v2/write", name).status == 200:
                acknowledged.append(name)
            number += 1
    except (OSError, http.client.HTTPException):
        client.close()


def missing(host: LocalHost, acknowledged: list[str]) -> set[str]:
    client = host.client()
    written = set(client.call("GET", "/api/v2/written").json())
    client.close()
    return set(acknowledged) - written


def test_acknowledged_writes_survive_kill_9(tmp_path):
    """Killed 20 times under write load: after each restart nothing acknowledged is missing."""
    chance = random.Random(20)
    acknowledged: list[str] = []
    host = LocalHost(tmp_path / "state", functions_dir=FAKE_FUNCTIONS)
    for kill in range(KILLS):
        host.start()
        assert not missing(host, acknowledged), f"after {kill} kills"
        writers = [
            threading.Thread(
                target=write_until_killed, args=(host, f"{kill}-{writer}", acknowledged)
            )
            for writer in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        time.sleep(chance.uniform(*LIFE_S))  # the moment of the crash is what is random here
        host.kill()
        for writer in writers:
            writer.join()
    with host:
        assert not missing(host, acknowledged), f"after {KILLS} kills"
    assert len(acknowledged) > KILLS  # there was load
    print(f"{len(acknowledged)} acknowledged writes, {KILLS} kills")
