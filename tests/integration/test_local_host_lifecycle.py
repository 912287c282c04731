"""The local host as a process: what it leaves on disk, how it ends, what survives it."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pce_local.certificates import RENEW_BEFORE, SERVER_LIFE, ensure_certificates
from pce_local.resources import StoreClients, ensure_resources, remove_expired
from pce_local.signatures import AwsKey
from pce_local.store_process import StoreProcess
from tests.fakes.local_host import FAKE_FUNCTIONS, LocalHost, free_port, wait_until
from tests.integration.test_local_host_bolts import open_bolt


@pytest.fixture
def host(tmp_path):
    with LocalHost(tmp_path / "state", functions_dir=FAKE_FUNCTIONS) as host:
        yield host


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_first_start_leaves_credentials_for_its_owner_only(host):
    """credentials.json says everything that a client needs; secrets and keys are mode 0600."""
    known = host.credentials()
    assert known["url"] == f"https://localhost:{host.port}"
    assert known["bolts_url"] == f"wss://localhost:{host.port}/bolts"
    assert {"ca_file", "org_id", "api_key", "api_secret", "activation_code"} <= known.keys()
    assert stat.S_IMODE(host.state_dir.stat().st_mode) == 0o700
    for name in ("credentials.json", "instance.json", "tls/ca.key", "tls/server.pem"):
        assert stat.S_IMODE((host.state_dir / name).stat().st_mode) == 0o600, name


def test_what_it_prints(host):
    """The pairing one-liner, and a last line for scripts."""
    text = "\n".join(host.lines)
    known = host.credentials()
    assert host.lines[-1] == f"ready https://localhost:{host.port}"
    assert f"--activation-code {known['activation_code']}" in text
    assert f"--management-server localhost:{host.port}" in text
    assert f"curl --cacert {known['ca_file']} '{known['url']}/api/v25/software/ven/image" in text


def test_ven_package_is_where_the_functions_look(host):
    """Packed anew at each start, so that the host serves the VEN of its own release."""
    client = host.client()
    environment = client.call("GET", "/api/v2/environment").json()
    client.close()
    folder, release = Path(environment["PCE_VEN_PACKAGES"]), environment["PCE_VEN_RELEASES"]
    package = folder / f"ven-{release}.tar.gz"
    assert folder.parent == host.state_dir
    with tarfile.open(package) as archive:
        assert {"ven/pyproject.toml", "ven/requirements.txt"} <= set(archive.getnames())


def test_logs_are_json_without_secrets(host):
    """Each line on stderr is JSON; neither the org's nor the instance's secrets are in it."""
    client = host.client()
    client.call("GET", "/api/v2/raise")
    client.close()
    host.stop()
    lines = [json.loads(line) for line in host.said().splitlines()]
    assert {"time", "level", "logger", "message"} <= lines[0].keys()
    secrets = [host.credentials()[name] for name in ("api_secret", "activation_code")]
    secrets.append(json.loads((host.state_dir / "instance.json").read_text())["secret_key"])
    for secret in secrets:
        assert secret not in host.said()


def test_functions_get_their_environment_and_nothing_leads_elsewhere(tmp_path, monkeypatch):
    """Another account's settings and a proxy in the starter's environment do not matter."""
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "https://dynamodb.us-east-1.amazonaws.com")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent")
    settings = {"heartbeat_interval_s": 7, "sweep_interval_s": 9}
    with LocalHost(tmp_path / "state", functions_dir=FAKE_FUNCTIONS, **settings) as host:
        client = host.client()
        seen = client.call("GET", "/api/v2/environment").json()
        assert client.call("POST", "/api/v2/write", b"w").status == 200
        assert client.call("GET", "/api/v2/written").json() == ["w"]
        client.close()
    assert seen["PCE_HEARTBEAT_INTERVAL_S"] == "7"
    assert seen["PCE_SWEEP_INTERVAL_S"] == "9"
    assert seen["PCE_URL"] == f"https://localhost:{host.port}"
    assert seen["AWS_REGION"] == "us-east-1"
    assert "AWS_PROFILE" not in seen


def test_restart_continues(host):
    """The same org, the same CA, what was written, messages that waited; also on another port."""
    client = host.client()
    assert client.call("POST", "/api/v2/write", b"before").status == 200
    client.close()
    before = host.credentials()
    ca = Path(before["ca_file"]).read_bytes()
    host.stop()
    again = LocalHost(host.state_dir, functions_dir=FAKE_FUNCTIONS)
    with again:
        after = again.credentials()
        assert after == before | {"url": after["url"], "bolts_url": after["bolts_url"]}
        assert after["url"] == f"https://localhost:{again.port}"
        assert Path(after["ca_file"]).read_bytes() == ca
        client = again.client()
        assert client.call("GET", "/api/v2/written").json() == ["before"]
        client.close()
    assert len(again.recorded("org_create")) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_finishes_requests_and_closes_sockets(host, number):
    """Within 5 s: requests under way are answered, sockets closed with 1001, the store is gone."""
    store = host.store_process()
    client = host.client()
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(client.call("POST", "/api/v2/sleep", b"1.5"))
    )
    with open_bolt(host) as bolt:
        waiting.start()
        time.sleep(0.3)  # the request is on its way; nothing shows from outside that it began
        took_s = host.stop(number)
        with pytest.raises(Exception, match="1001"):
            bolt.recv(timeout=5)
    waiting.join()
    client.close()
    assert answers[0].status == 200
    assert took_s < 5
    assert host.process.returncode == 0
    assert gone(store)


def test_stop_does_not_wait_for_ever(host):
    """A function that does not end is left behind after 3 s."""
    client = host.client()

    def sleep_long():
        with pytest.raises(OSError):
            client.call("POST", "/api/v2/sleep", b"25")

    waiting = threading.Thread(target=sleep_long)
    waiting.start()
    time.sleep(0.3)  # as above
    assert host.stop() < 5
    waiting.join()
    client.close()


def test_kill_takes_the_store_along(host):
    """kill -9 leaves no store behind, and the next start is not disturbed."""
    store = host.store_process()
    host.kill()
    wait_until(lambda: gone(store), timeout_s=5)
    host.start()


def test_death_of_the_store_ends_the_host(host):
    """The host does not pretend to serve; it says what happened and exits with 1."""
    os.kill(host.store_process(), signal.SIGKILL)
    assert host.process.wait(10) == 1
    assert "the store ended by itself" in host.said()


def failing_start(*arguments):
    """What the command says when it cannot start."""
    script = Path(sys.executable).with_name("pce-local")
    done = subprocess.run(
        [script, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_taken_port(tmp_path):
    """Says so and exits with 1, before anything is written."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, said = failing_start("--port", port, "--state-dir", tmp_path / "state")
    assert status == 1
    assert f"127.0.0.1 port {port} is in use; choose another with --port" in said
    assert not (tmp_path / "state").exists()


def test_state_folder_in_use(host):
    """Two hosts never share a folder."""
    status, said = failing_start("--port", str(free_port()), "--state-dir", host.state_dir)
    assert status == 1
    assert "is in use by another pce-local" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="drops root's right to low ports to try")
def test_low_port_without_root(tmp_path):
    """Says that it needs root."""
    script = Path(sys.executable).with_name("pce-local")
    drop = ["setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-all"]
    done = subprocess.run(
        [*drop, script, "--port", "443", "--state-dir", tmp_path / "state"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 1 and "is in use" in done.stderr:
        pytest.skip("port 443 is taken on this machine")
    assert done.returncode == 1
    assert "port 443 needs root" in done.stderr


@pytest.mark.parametrize("wrong", ["0", "70000", "x"])
def test_wrong_port(tmp_path, wrong):
    """The usage error names the value."""
    status, said = failing_start("--port", wrong, "--state-dir", tmp_path)
    assert status == 2
    assert re.search(rf"--port: '{wrong}' is not a port", said)


def test_server_certificate_is_renewed_and_the_ca_kept(tmp_path):
    """Made anew 30 days before it ends or for a new name; clients keep the CA that they have."""
    folder = tmp_path / "tls"
    now = datetime.now(UTC)

    def serial():
        pem = (folder / "server.pem").read_bytes()
        return x509.load_pem_x509_certificate(pem).serial_number

    ca = ensure_certificates(folder, {"localhost", "::1"}, now).read_bytes()
    first = serial()
    ensure_certificates(folder, {"localhost"}, now + SERVER_LIFE - RENEW_BEFORE - timedelta(1))
    assert serial() == first
    ensure_certificates(folder, {"localhost"}, now + SERVER_LIFE - RENEW_BEFORE + timedelta(1))
    second = serial()
    assert second != first
    ensure_certificates(folder, {"localhost", "10.1.2.3"}, now)
    assert serial() != second
    assert (folder / "ca.pem").read_bytes() == ca


def test_expired_items_are_removed(tmp_path):
    """The store keeps items past their TTL; the host removes those, and only those."""
    with (tmp_path / "lock").open("w") as lock:
        store = StoreProcess(tmp_path / "store", tmp_path / "log", lock.fileno())
        try:
            clients = StoreClients.connect(store.url, AwsKey("a", "b"))
            ensure_resources(clients)
            ensure_resources(clients)  # nothing is made twice
            for sk, ttl in (("old", {"N": "999"}), ("new", {"N": "1001"}), ("none", None)):
                item = {"pk": {"S": "p"}, "sk": {"S": sk}} | ({"ttl": ttl} if ttl else {})
                clients.dynamodb.put_item(TableName="flows", Item=item)
            assert remove_expired(clients.dynamodb, now=1000) == 1
            left = clients.dynamodb.scan(TableName="flows")["Items"]
            assert {item["sk"]["S"] for item in left} == {"new", "none"}
        finally:
            store.stop()
