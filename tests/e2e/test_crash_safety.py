"""What the local host has acknowledged survives kill -9."""

import base64
import http.client
import json
import random
import threading
import time

import pytest

from tests.fakes.local_host import LocalHost

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]

KILLS = 20
WRITERS = 4
LIFE_S = (0.02, 1.5)
"""How long a host lives between `ready` and kill -9: the range of a random choice."""


JSON = {"Content-Type": "application/json"}


def authorization(username, secret):
    return {"Authorization": f"Basic {base64.b64encode(f'{username}:{secret}'.encode()).decode()}"}


class Labels:
    """Creates labels as fast as the host answers, and remembers those that it acknowledged."""

    def __init__(self, host):
        self.host = host
        self.acknowledged = []

    def authorization(self):
        known = self.host.credentials()
        return authorization(known["api_key"], known["api_secret"])

    def another_key(self):
        """A key makes at most 500 requests a minute, and writers are to make more."""
        client, headers = self.host.client(), self.authorization()
        [user] = client.call("GET", "/api/v2/users", headers=headers).json()
        path = f"/api/v2{user['href']}/api_keys"
        body = json.dumps({"name": "writers"})
        made = client.call("POST", path, body, headers | JSON).json()
        client.close()
        return authorization(made["auth_username"], made["secret"])

    def create_until_killed(self, writer, key):
        client, headers = self.host.client(), key | JSON
        number = 0
        try:
            while True:
                value = f"{writer}-{number}"
                body = json.dumps({"key": "app", "value": value})
                answer = client.call("POST", "/api/v2/orgs/1/labels", body, headers)
                assert answer.status == 201, answer
                self.acknowledged.append(value)
                number += 1
        except (OSError, http.client.HTTPException):
            client.close()

    def lost(self):
        """What was acknowledged and is not there."""
        client = self.host.client()
        path = "/api/v2/orgs/1/labels?max_results=1000000"
        answer = client.call("GET", path, headers=self.authorization())
        client.close()
        assert answer.status == 200, answer
        return set(self.acknowledged) - {label["value"] for label in answer.json()}


def test_acknowledged_writes_survive_kill_9(request, tmp_path):
    """Killed 20 times under write load: after each restart nothing acknowledged is missing."""
    if request.config.getoption("target_credentials", default=None):
        pytest.skip("about the local host, which is not what is tested here")
    chance = random.Random(20)
    host = LocalHost(tmp_path / "state")
    labels = Labels(host)
    for kill in range(KILLS):
        host.start()
        assert not labels.lost(), f"after {kill} kills"
        key = labels.another_key()
        writers = [
            threading.Thread(target=labels.create_until_killed, args=(f"{kill}-{writer}", key))
            for writer in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        time.sleep(chance.uniform(*LIFE_S))  # the moment of the crash is what is random here
        host.kill()
        for writer in writers:
            writer.join()
    with host:
        assert not labels.lost(), f"after {KILLS} kills"
    assert len(labels.acknowledged) > KILLS  # there was load
    print(f"{len(labels.acknowledged)} acknowledged labels, {KILLS} kills")
