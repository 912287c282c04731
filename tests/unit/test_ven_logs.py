"""Where the VEN's log lines go, and how much disk they take."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ven import logs


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """With the loggers' own handlers taken off again afterwards."""
    loggers = [logging.getLogger(name) for name in ("ven", "ven.vtap")]
    before = [(logger, list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    yield tmp_path
    for logger, handlers, level, propagate in before:
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(level)
        logger.propagate = propagate


def test_flow_collection_has_a_log_of_its_own(folder: Path) -> None:
    """Throttle states stand in ``vtap.log``, and there alone."""
    logs.write_logs(folder, also_to_stderr=False)
    logging.getLogger("ven.vtap").warning("Entering throttle state")
    logging.getLogger("ven.agent").info("VEN starts")
    assert "ven.vtap Entering throttle state" in (folder / "vtap.log").read_text()
    agent = (folder / "agent.log").read_text()
    assert "VEN starts" in agent and "throttle" not in agent


def test_logs_are_rotated_with_one_backup(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 15 MB, so that a host's disk holds 60 MB of them at most."""
    assert logs.ROTATE_AT_BYTES == 15_000_000
    monkeypatch.setattr(logs, "ROTATE_AT_BYTES", 1_000)
    logs.write_logs(folder, also_to_stderr=False)
    for number in range(100):
        logging.getLogger("ven.agent").info("line %d", number)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sizes.keys() == {"agent.log", "agent.log.1", "vtap.log"}
    assert max(sizes.values()) <= 1_000
    assert "line 99" in (folder / "agent.log").read_text()
