"""Writes docs/api/openapi.yaml from the tables of the management API."""

from pathlib import Path
from typing import Any

import yaml

from pce.runtime.api_answer import document

FILE = Path(__file__).parent.parent / "docs" / "api" / "openapi.yaml"


class _Dumper(yaml.SafeDumper):
    """Without anchors: whoever reads a schema should not have to look for another."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text() -> str:
    """The YAML of the document, with a line that says where it comes from."""
    body = yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return f"# Generated from pce/runtime/api_routes.py by `make publish`; do not edit.\n{body}"


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text())
    print(f"wrote {FILE.parent.name}/{FILE.name}")
