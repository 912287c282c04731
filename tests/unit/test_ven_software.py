"""The pairing script and the VEN package, as the PCE serves them."""

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from functions.ven_software.handler import handler

PACKAGE, OLDER = b"\x1f\x8bthe package", b"\x1f\x8bthe one before"


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ven-25.2.0.tar.gz").write_bytes(PACKAGE)
    (tmp_path / "ven-25.1.9.tar.gz").write_bytes(OLDER)
    (tmp_path / "ven-test.tar.gz").write_bytes(b"no release")
    monkeypatch.setenv("PCE_VEN_PACKAGES", str(tmp_path))


def get(query: str, version: str = "v25") -> dict[str, Any]:
    path = f"/api/{version}/software/ven/image"
    return handler(
        {
            "rawPath": path,
            "rawQueryString": query,
            "headers": {},
            "pathParameters": {"version": version},
            "requestContext": {"http": {"method": "GET", "path": path}},
        },
        None,
    )


def test_script_names_the_package_by_its_hash() -> None:
    """So that what it downloads is what this PCE serves; it is valid shell."""
    reply = get("pair_script=pair.sh&profile_id=7", "v18")
    assert reply["statusCode"] == 200
    script = reply["body"]
    assert "RELEASE='25.2.0'" in script
    assert f"PACKAGE_SHA256='{hashlib.sha256(PACKAGE).hexdigest()}'" in script
    assert "PROFILE_ID='7'" in script
    assert "API_VERSION='v18'" in script
    assert "@" not in script.split("usage()")[0]
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_package_is_served_as_it_is() -> None:
    """Bytes travel as base64 through API Gateway."""
    reply = get("package=ven.tar.gz")
    assert reply["headers"]["content-type"] == "application/gzip"
    assert reply["isBase64Encoded"] is True
    assert base64.b64decode(reply["body"]) == PACKAGE


def described(release: str) -> dict[str, Any]:
    path = f"/ven/v1/software/{release}"
    http = {"method": "GET", "path": path}
    event = {"rawPath": path, "headers": {}, "pathParameters": {"release": release}}
    return handler({**event, "requestContext": {"http": http}}, None)


def test_a_release_is_described_by_its_hash_and_can_be_had_there() -> None:
    """What a VEN that is to be upgraded asks for."""
    reply = described("25.1.9")
    release = json.loads(reply["body"])
    assert release["sha256"] == hashlib.sha256(OLDER).hexdigest()
    assert release["size_bytes"] == len(OLDER)
    path, _, query = release["package"].partition("?")
    assert path == "/api/v25/software/ven/image"
    assert base64.b64decode(get(query, "v25")["body"]) == OLDER


def test_a_release_that_is_not_offered_is_not_found() -> None:
    """And the answer names those that are."""
    reply = described("9.9.9")
    assert reply["statusCode"] == 404
    assert "25.2.0, 25.1.9" in json.loads(reply["body"])[0]["message"]


@pytest.mark.parametrize(
    ("query", "version"),
    [
        ("pair_script=pair.sh&profile_id=1'%3Bid", "v25"),
        ("pair_script=pair.sh&profile_id=", "v25"),
        ("pair_script=pair.sh", "v25"),
        ("pair_script=pair.sh&profile_id=-1", "v25"),
        ("pair_script=pair.sh&profile_id=%D9%A1", "v25"),  # a digit, but not ours
        ("pair_script=pair.sh&profile_id=99999999999999999999", "v25"),
        ("pair_script=pair.sh&profile_id=1", "v$(id)"),
        ("pair_script=pair.sh&profile_id=1", "v1000"),
    ],
)
def test_nothing_but_whole_numbers_gets_into_the_script(query: str, version: str) -> None:
    """The script is run as root, so what callers say is refused rather than escaped."""
    reply = get(query, version)
    assert reply["statusCode"] == 406
    assert "#!/bin/sh" not in reply["body"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "package=other",
        "package=ven.tar.gz&release=25.2.1",
        "package=../handler.py",
        "pair_script=pair.ps1&profile_id=1",
    ],
)
def test_other_files_are_not_found(query: str) -> None:
    """There are two, by their exact names."""
    assert get(query)["statusCode"] == 404


def unit(name: str) -> str:
    """A systemd unit as the script writes it."""
    script = get("pair_script=pair.sh&profile_id=7")["body"]
    text = script.split(f"/etc/systemd/system/{name} <<UNIT\n")[1].split("\nUNIT\n")[0]
    for variable, value in (("VEN", "/bin/true"), ("DATA_DIR", "/opt"), ("PREFIX", "/opt")):
        text = text.replace(f"${variable}", value)
    return text + "\n"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_the_units_are_sound_and_hardened(tmp_path: Path) -> None:
    """systemd finds nothing to say against them, and rates the agent's exposure as low."""
    for name in ("ven.service", "ven-boot.service"):
        (tmp_path / name).write_text(unit(name))
        command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert name not in done.stderr, done.stderr
    analyze = ["systemd-analyze", "security", "--offline=true", "--threshold=35"]
    done = subprocess.run(
        [*analyze, str(tmp_path / "ven.service")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
