"""The VEN's log files: ``agent.log`` for everything, ``vtap.log`` for flow collection.

Rotated at 15 MB with one backup, as operators of such agents know them. Secrets never reach a
logger: tokens and codes are left out of every ``repr`` and message.
"""

import logging
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

ROTATE_AT_BYTES = 15_000_000
BACKUPS = 1

_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"
_TIME = "%Y-%m-%dT%H:%M:%S"


def write_logs(folder: Path, also_to_stderr: bool) -> None:
    """Send the loggers ``ven.*`` to files in ``folder``, times in UTC."""
    formatter = logging.Formatter(_FORMAT, _TIME)
    formatter.converter = time.gmtime
    root = logging.getLogger("ven")
    root.setLevel(logging.INFO)
    for logger, name in ((root, "agent.log"), (logging.getLogger("ven.vtap"), "vtap.log")):
        handler = RotatingFileHandler(folder / name, maxBytes=ROTATE_AT_BYTES, backupCount=BACKUPS)
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    logging.getLogger("ven.vtap").propagate = False
    if also_to_stderr:
        stderr = logging.StreamHandler()
        stderr.setFormatter(formatter)
        root.addHandler(stderr)
