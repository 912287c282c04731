"""Makes this checkout's packages importable from the virtual environment that runs this file.

Run by `make setup` as `.venv/bin/python tools/link_packages.py`. It writes a `.pth` file and the
console scripts: what an editable install does, without a build back end to download. Safe to run
again: the same files are written again.
"""

import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Folders that hold our packages, relative to the repository: pce, ven_protocol, ven, pce_local.
SOURCE_FOLDERS = ("layers/pce/python", "layers/ven_protocol/python", "ven/src", "local")

#: Console script -> module whose `main()` it calls. `main` returns the exit status.
CONSOLE_SCRIPTS = {"pce-local": "pce_local.main", "ven": "ven.cli"}

SCRIPT = """\
#!{python}
import sys

from {module} import main

sys.exit(main())
"""


def main() -> None:
    """Write the `.pth` file and the console scripts."""
    if sys.prefix == sys.base_prefix:
        sys.exit("link_packages: run me with .venv/bin/python; this python is not in a venv")
    folders = "".join(f"{ROOT / folder}\n" for folder in SOURCE_FOLDERS)
    (Path(sysconfig.get_path("purelib")) / "pce-checkout.pth").write_text(folders)
    for name, module in CONSOLE_SCRIPTS.items():
        script = Path(sysconfig.get_path("scripts")) / name
        script.write_text(SCRIPT.format(python=sys.executable, module=module))
        script.chmod(0o755)


if __name__ == "__main__":
    main()
