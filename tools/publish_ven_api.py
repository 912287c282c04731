"""Writes docs/ven-api/openapi.yaml and asyncapi.yaml from ``ven_protocol``."""

from pathlib import Path

import yaml

from ven_protocol.published import JsonObject, asyncapi, openapi

FOLDER = Path(__file__).parent.parent / "docs" / "ven-api"
DOCUMENTS = {"openapi.yaml": openapi, "asyncapi.yaml": asyncapi}


def text(document: JsonObject) -> str:
    """The YAML of a document, with a line that says where it comes from."""
    body = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
    return f"# Generated from ven_protocol by `make publish`; do not edit.\n{body}"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in DOCUMENTS.items():
        (FOLDER / name).write_text(text(make()))
        print(f"wrote {FOLDER.name}/{name}")
