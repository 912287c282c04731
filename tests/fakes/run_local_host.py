"""Runs a local host with settings that its command line does not offer: JSON of a HostConfig.

python -m tests.fakes.run_local_host '{"port": 4701, "state_dir": "/tmp/d", "bolt_idle_s": 1}'
"""

import json
import sys
from pathlib import Path

from pce_local.config import HostConfig
from pce_local.main import run

if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    for name in ("state_dir", "functions_dir"):
        settings[name] = Path(settings[name])
    sys.exit(run(HostConfig(**settings)))
