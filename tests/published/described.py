"""The published document as tests walk it: operations, and the fields of what may be sent."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pce.runtime.api_answer import document

Schema = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    sent: Any
    """Schema of its body; {} where the document says nothing."""
    filters: tuple[str, ...]
    """Query parameters."""
    changes: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@lru_cache(maxsize=1)
def described() -> Schema:
    """The document as a client reads it."""
    read: Schema = json.loads(json.dumps(document()))
    return read


@lru_cache(maxsize=1)
def operations() -> tuple[Operation, ...]:
    """All of them, in the document's order."""
    return tuple(
        Operation(
            method.upper(),
            path,
            _sent(operation),
            tuple(p["name"] for p in operation["parameters"] if p.get("in") == "query"),
            "x-event" in operation,
        )
        for path, methods in described()["paths"].items()
        for method, operation in methods.items()
    )


def _sent(operation: Schema) -> Schema:
    content = operation.get("requestBody", {}).get("content", {})
    return content["application/json"]["schema"] if content else {}


def plain(schema: Schema) -> Schema:
    """A schema without references, and without the null and the empty text that say nothing."""
    if "$ref" in schema:
        return plain(described()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]])
    if "anyOf" in schema:
        return plain(schema["anyOf"][0])
    return schema


def example(operation: Operation) -> Any:
    """The body that the document gives as an example; None without one."""
    schema = plain(operation.sent)
    if schema.get("type") == "array":
        inner = plain(schema["items"]).get("examples")
        return inner[:1] if inner else None
    examples = schema.get("examples")
    return examples[0] if examples else None


def texts(schema: Schema, at: str = "") -> Iterator[tuple[str, Schema]]:
    """Every text that may be sent: its place (``a.b[0].c``) and schema."""
    schema = plain(schema)
    for name, field in schema.get("properties", {}).items():
        yield from texts(field, f"{at}.{name}" if at else name)
    if "items" in schema:
        yield from texts(schema["items"], f"{at}[0]")
    if schema.get("type") in ("string", ["string", "null"]):
        yield at, schema
