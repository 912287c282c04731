"""Public clients, unmodified, over HTTPS with our CA: the Python SDK with the integration suite
that its authors ship, the commands of `illumio-pylo`, the models of `illumio-py-open`.

All come from the package registry, by hash; none of them is in this repository. What cannot be
installed is replayed: `test_client_conversations.py`.
"""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from demo.operator import Credentials, Operator
from tests.e2e.client_packages import installed_clients, source_of_the_sdk
from tests.e2e.stocked_org import Hrefs, stock
from tests.e2e.ven_client import VenClient
from tests.fakes.local_host import LocalHost

HERE = Path(__file__).resolve().parent

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHost]:
    with LocalHost(tmp_path_factory.mktemp("clients") / "state") as host:
        yield host


@pytest.fixture(scope="module")
def operator(host: LocalHost) -> Operator:
    return Operator(Credentials.read(host.state_dir / "credentials.json"))


@pytest.fixture(scope="module")
def stocked(operator: Operator) -> Hrefs:
    return stock(operator)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has `illumio-pylo` and `illumio-py-open`."""
    return installed_clients(tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SDK's source distribution: its suite is in no wheel."""
    return source_of_the_sdk(tmp_path_factory.mktemp("sdk"))


def environment(operator: Operator, **settings: str) -> dict[str, str]:
    """Of a client's process: our CA is all that it trusts, and the way is direct."""
    trust = operator.credentials.ca_file
    ours = {"REQUESTS_CA_BUNDLE": trust, "SSL_CERT_FILE": trust, "NO_PROXY": "localhost"}
    return {**os.environ, **ours, **settings}


def new_key(operator: Operator, name: str) -> tuple[str, str]:
    """A key of its own for each client: requests are counted by key."""
    key = operator.create("/users/1/api_keys", {"name": name})
    return key["auth_username"], key["secret"]


WRONG_MODELS = {
    "syslog_destinations": "has no attribute '__args__'",
    "workload_settings": "has no attribute '__args__'",
}
"""Models of `illumio-py-open` that no PCE can satisfy: a truth value where destinations list their
PCEs, a number where timers are lists."""


def test_every_object_has_a_model(clients: Path, operator: Operator, stocked: Hrefs) -> None:
    """Each object of each collection that `illumio-py-open` knows is decoded, drafts and active
    ones, in lists and alone, and no attribute that its model has is lost."""
    key, secret = new_key(operator, "py-open")
    settings = {
        "PCE_URL": operator.credentials.url,
        "PCE_ORG": str(operator.credentials.org_id),
        "PCE_KEY": key,
        "PCE_SECRET": secret,
    }
    run = subprocess.run(
        [clients, HERE / "read_with_py_open.py"],
        env=environment(operator, **settings),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout)
    unknown = [one for one in found["wrong"] if WRONG_MODELS.get(one[0], "nothing") not in one[2]]
    assert not unknown
    empty = {name for name, number in found["read"].items() if number == 0}
    assert empty <= MAY_BE_EMPTY | WRONG_MODELS.keys()


MAY_BE_EMPTY = {
    "core_service_types",
    "detected_core_services",
    "kubernetes_workloads",
    "label_mapping_rules",
    "ldap_configs",
    "saml_configs",
    "system_events",
}
"""Collections of which this PCE has nothing."""


Pylo = Callable[..., str]


@pytest.fixture(scope="module")
def pylo_environment(
    operator: Operator, stocked: Hrefs, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    key, secret = new_key(operator, "pylo")
    address = urlsplit(operator.credentials.url)
    return environment(
        operator,
        PYLO_FQDN=str(address.hostname),
        PYLO_PORT=str(address.port),
        PYLO_ORG_ID=str(operator.credentials.org_id),
        PYLO_API_USER=key,
        PYLO_API_KEY=secret,
        PYLO_VERIFY_SSL="true",
        HOME=str(tmp_path_factory.mktemp("home")),
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which an operator works; reports appear in its `output`."""
    return tmp_path_factory.mktemp("desk")


@pytest.fixture(scope="module")
def traffic_export(
    clients: Path, desk: Path, pylo_environment: dict[str, str]
) -> subprocess.Popen[str]:
    """`traffic-export` of a day with draft decisions, under way: it sleeps for 15 s or more."""
    since = ["--timeframe-hours", "24", "--draft-mode-enabled", "-o", "traffic.csv"]
    return subprocess.Popen(
        [clients, "-m", "illumio_pylo.cli", "--pce", "ENV", "traffic-export", *since],
        cwd=desk,
        env=pylo_environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.fixture(scope="module")
def pylo(
    clients: Path,
    desk: Path,
    pylo_environment: dict[str, str],
    traffic_export: subprocess.Popen[str],
) -> Iterator[Pylo]:
    """Runs a command to its end and gives what it said. Depends on `traffic_export` so that its
    waiting is done meanwhile."""
    program = subprocess.Popen(
        [clients, HERE / "pylo_commands.py"],
        cwd=desk,
        env=pylo_environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def run(*arguments: str, options: tuple[str, ...] = (), given: str = "") -> str:
        assert program.stdin and program.stdout
        command = {"arguments": ["--pce", "ENV", *options, *arguments], "input": given}
        program.stdin.write(json.dumps(command) + "\n")
        program.stdin.flush()
        answer = json.loads(program.stdout.readline())
        said = str(answer["output"])
        assert answer["status"] == 0, said[-3000:]
        assert f"END OF {arguments[0].upper()} UTILITY" in said, said[-3000:]
        return said

    yield run
    program.communicate(timeout=10)


def report(desk: Path, name: str) -> list[dict[str, str]]:
    """Rows of a CSV that a command wrote."""
    with (desk / "output" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def sheet(desk: Path, name: str, *rows: str) -> str:
    """A CSV for a command to read."""
    path = desk / name
    path.write_text("\n".join(rows) + "\n")
    return str(path)


@pytest.mark.parametrize("options", [(), ("--force-async-mode",)])
def test_workload_export(pylo: Pylo, desk: Path, stocked: Hrefs, options: tuple[str, ...]) -> None:
    """Every workload with its labels, also when the lists are fetched as jobs."""
    pylo("workload-export", "-o", "workloads.csv", options=options)
    rows = {row["href"]: row for row in report(desk, "workloads")}
    assert {stocked[name] for name in ("a", "b", "bare")} <= rows.keys()
    bare = rows[stocked["bare"]]
    assert (bare["hostname"], bare["label_role"]) == ("bare.example.com", "web")
    assert bare["label_tier"] == "front"


def test_workload_import(pylo: Pylo, desk: Path, operator: Operator) -> None:
    """Workloads and the labels that they need are made."""
    rows = ("name,hostname,ip,label:role,label:app", "imported,imported,10.89.0.1,web,new-app")
    given = sheet(desk, "import.csv", *rows)
    pylo("workload-import", "-i", given, "--ignore-missing-headers", "-p", "-n", given="y\n")
    [made] = operator.get(f"{operator.org}/workloads", hostname="imported")
    assert {label["value"] for label in made["labels"]} == {"web", "new-app"}
    assert [one["address"] for one in made["interfaces"]] == ["10.89.0.1"]


def test_workload_update(pylo: Pylo, desk: Path, operator: Operator, stocked: Hrefs) -> None:
    """A managed workload gets a label that had to be made; matched by host name and confirmed by
    hand, since this version finds no href and does nothing when told not to ask."""
    hostname = operator.get(stocked["b"])["hostname"]
    given = sheet(desk, "update.csv", "hostname,label:role", f"{hostname},updated-role")
    pylo("workload-update", "-i", given, "--match-on-hostname", "-p", given="y\ny\n")
    labels = operator.get(stocked["b"])["labels"]
    assert [label["value"] for label in labels] == ["updated-role"]


def test_workload_resync_names(pylo: Pylo, operator: Operator) -> None:
    """A managed workload's name becomes its host name."""
    ven = VenClient.pair(operator, "10.90.0.5")
    operator.update(ven.workload_href, {"name": "old name"})
    pylo("workload-resync-names", "--confirm")
    assert operator.get(ven.workload_href)["name"] == ven.host.hostname


def test_label_delete_unused(pylo: Pylo, operator: Operator, stocked: Hrefs) -> None:
    """What nothing uses is deleted, what something uses is not."""
    unused = operator.label("env", "never-used")
    pylo("label-delete-unused", "--confirm")
    assert operator.get(unused)["deleted"] is True
    for name in ("web", "shop", "prod", "front"):
        assert operator.get(stocked[name])["deleted"] is False


def test_iplist_import(pylo: Pylo, desk: Path, operator: Operator) -> None:
    """A new IP list, with a range and a network."""
    given = sheet(desk, "lists.csv", "name,networks", "imported,10.7.0.0/16 172.16.0.1-172.16.0.9")
    pylo("iplist-import", "-i", given, "--network-delimiter", " ", "-p", "-n")
    [made] = operator.get(f"{operator.org}/sec_policy/draft/ip_lists", name="imported")
    ranges = {(one["from_ip"], one.get("to_ip")) for one in made["ip_ranges"]}
    assert ranges == {("10.7.0.0/16", None), ("172.16.0.1", "172.16.0.9")}


def test_rule_export(pylo: Pylo, desk: Path) -> None:
    """Rules with the names of what they refer to."""
    pylo("rule-export", "-o", "rules.csv")
    [rule] = report(desk, "rules")
    assert (rule["ruleset"], rule["type"]) == ("shop rules", "extra")
    assert rule["consumers"].split() == ["IPLISTS:", "inside"]
    assert rule["providers"].startswith("LABELS:\ngroup\nWORKLOADS:\nhost-")
    assert rule["services"].startswith("web service: tcp/443")


def test_ven_duplicate_remover(pylo: Pylo, operator: Operator) -> None:
    """Of three workloads with one host name one stays: the one without a VEN is deleted, and one of
    the VENs, which cannot be deleted, is unpaired."""
    vens = [VenClient.pair(operator, f"10.90.0.{number}") for number in (1, 2)]
    name = vens[0].host.hostname
    vens[1].heartbeat(host=msgspec.structs.replace(vens[1].host, hostname=name))
    bare = operator.create(f"{operator.org}/workloads", {"hostname": name, "name": name})["href"]
    only = ("--filter-in-hostname-regex", name, "--ignore-pce-online-status")
    keep = "--do-not-delete-the-most-recent-workload"
    pylo("ven-duplicate-remover", *only, keep, "--proceed-with-deletion", given="y\n")
    assert operator.get(bare)["deleted"] is True
    assert sorted(operator.get(ven.workload_href)["deleted"] for ven in vens) == [False, True]


def test_commands_for_idle_vens(pylo: Pylo, desk: Path, operator: Operator) -> None:
    """`ven-compatibility-report-export` tells what speaks against enforcing an idle VEN, and
    `ven-idle-to-visibility` ends its idleness."""
    ven = VenClient.pair(operator, "10.90.0.3")
    operator.update(ven.workload_href, {"enforcement_mode": "idle"})
    pylo("ven-compatibility-report-export", "-o", "compatibility.csv")
    [row] = report(desk, "compatibility")
    assert (row["href"], row["report_failed"]) == (ven.workload_href, "yes")
    pylo("ven-idle-to-visibility", "--ignore-all-incompatibilities", "-c", "-m", "build")
    assert operator.get(ven.workload_href)["enforcement_mode"] == "visibility_only"


def test_ven_upgrade(pylo: Pylo, operator: Operator) -> None:
    """A VEN is told to upgrade to the release that the PCE offers."""
    ven = VenClient.pair(operator, "10.90.0.4")
    ven.heartbeat(host=msgspec.structs.replace(ven.host, version="25.1.0"))
    [offered] = operator.get(f"{operator.org}/software/ven/releases")
    pylo("ven-upgrade", "--target-version", offered["release"], "--confirm")
    asked = operator.get(ven.activated.ven_href)
    assert asked["upgrade_target_version"] == offered["release"]


def test_the_cache_of_objects(pylo: Pylo) -> None:
    """`pce-objects-cache-updater` keeps what commands with `--use-cache` read."""
    pylo("pce-objects-cache-updater")
    assert "OK!" in pylo("rule-export", "-o", "cached.csv", options=("--use-cache",))


def test_the_suite_of_the_sdk_passes(sdk: Path, host: LocalHost, operator: Operator) -> None:
    """All 64 cases of `illumio` 1.1.3, in an org that is in use."""
    key, secret = new_key(operator, "sdk")
    settings = {
        "ILLUMIO_PCE_HOST": "https://localhost",
        "ILLUMIO_PCE_PORT": str(host.port),
        "ILLUMIO_PCE_ORG_ID": str(operator.credentials.org_id),
        "ILLUMIO_API_KEY_USERNAME": key,
        "ILLUMIO_API_KEY_SECRET": secret,
        "PYTHONPATH": str(sdk),
    }
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--integration", "tests/integration"],
        cwd=sdk,
        env=environment(operator, **settings),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]
    assert re.search(r"\b64 passed\b", run.stdout), run.stdout[-500:]


def test_traffic_export(desk: Path, traffic_export: subprocess.Popen[str]) -> None:
    """Recorded flows, with what the drafts would decide."""
    said, _ = traffic_export.communicate(timeout=90)
    assert traffic_export.returncode == 0, said[-3000:]
    rows = [row for row in report(desk, "traffic") if row["port"] == "443"]
    assert {(row["src_ip"], row["dst_ip"]) for row in rows} == {("10.88.0.1", "10.88.0.2")}
    assert all(row["draft_policy_decision"] for row in rows)
