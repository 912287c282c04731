"""JSON Schema (2020-12) of what clients may send and what they are shown, from the shapes. Pure.

What may be sent is described closely. What is shown is described as far as clients may rely on it:
every attribute may be null, references carry names beside their hrefs, and there may be more.
"""

from typing import Any

from pce.objects.collection import Collection
from pce.objects.fields import (
    Address,
    Choice,
    Choices,
    Flag,
    Integer,
    ListOf,
    Never,
    Record,
    Reference,
    Shape,
    Text,
)
from pce.objects.permission import RoleReference
from pce.objects.rule import Actor, ResolveLabelsAs
from pce.objects.settings import Timer, TimerEntry, TrustedProxy

Schema = dict[str, Any]

HREF: Schema = {
    "type": "object",
    "required": ["href"],
    "properties": {"href": {"type": "string"}},
}
AUTHORS = ("created_by", "updated_by", "deleted_by")
TIMES = ("created_at", "updated_at", "deleted_at")


def sent(field: Any) -> Schema:
    """What may be sent for an attribute; {} says nothing, where code alone can tell."""
    match field:
        case Text():
            schema: Schema = {"type": ["string", "null"], "maxLength": field.max_length}
            return schema | ({"pattern": f"^(?:{field.pattern})?$"} if field.pattern else {})
        case Integer():
            bounds = {"minimum": field.least, "maximum": field.most}
            return _or_not_said({"type": "integer", **bounds})
        case Timer():
            return _or_not_said({"type": "integer"})
        case Flag():
            return _or_not_said({"type": "boolean"})
        case Never():
            return {"enum": [False, None, ""]}
        case Choice():
            return {"enum": [*field.words, None, ""]}
        case Choices():
            words = {"enum": list(field.words)}
            return {"anyOf": [{"type": "array", "items": words}, words, {"enum": [None, ""]}]}
        case Address():
            return {"type": ["string", "null"]}
        case ListOf():
            items = {"type": "array", "items": sent(field.entry), "maxItems": field.max_entries}
            return {"anyOf": [items, {"enum": [None, ""]}]}
        case Record():
            return _or_not_said(shape_sent(field.shape))
        case TimerEntry():
            return shape_sent(Shape(field.values, field.required))
        case Reference() | RoleReference():
            return _or_not_said(HREF)
        case Actor():
            kinds: Schema = dict.fromkeys(field.kinds, HREF)
            if field.words:
                kinds["actors"] = {"enum": list(field.words)}
            return {"type": "object", "properties": kinds}
        case ResolveLabelsAs():
            return {"type": ["object", "null"]}
        case TrustedProxy():
            ip: Schema = {"type": "string"}
            return {"anyOf": [ip, {"type": "object", "properties": {"ip": ip}}]}
    return {}


def shape_sent(shape: Shape, *, partial: bool = False) -> Schema:
    """An object that may be sent; with ``partial`` nothing is required. What is not listed is
    ignored."""
    schema: Schema = {
        "type": "object",
        "properties": {name: sent(field) for name, field in shape.fields.items()},
    }
    return schema if partial or not shape.required else schema | {"required": list(shape.required)}


def shown(field: Any) -> Schema:
    """What is shown of an attribute."""
    match field:
        case Text() | Choice() | Address():
            return {"type": ["string", "null"]}
        case Integer() | Timer():
            return {"type": ["integer", "null"]}
        case Flag() | Never():
            return {"type": ["boolean", "null"]}
        case Choices():
            return {"type": ["array", "null"]}
        case ListOf():
            return {"type": ["array", "null"], "items": shown(field.entry)}
        case Record():
            return {"type": ["object", "null"], "properties": _shown_fields(field.shape)}
        case (
            Reference()
            | RoleReference()
            | Actor()
            | TimerEntry()
            | ResolveLabelsAs()
            | TrustedProxy()
        ):
            return {"type": ["object", "null"]}
    return {}


def collection_shown(collection: Collection) -> Schema:
    """An object of a collection as clients see it."""
    more: dict[str, Schema] = {
        "href": {"type": "string"},
        **{name: {"type": ["string", "null"], "format": "date-time"} for name in TIMES},
        **{name: {"type": ["object", "null"]} for name in AUTHORS},
        "caps": {"type": "array", "items": {"type": "string"}},
    }
    if collection.provisionable:
        more["update_type"] = {"enum": ["create", "update", "delete", None]}
    properties = {**_shown_fields(collection.shape), **more}
    return {"type": "object", "required": ["href"], "properties": properties}


def _shown_fields(shape: Shape) -> dict[str, Schema]:
    return {name: shown(field) for name, field in shape.fields.items()}


def _or_not_said(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"enum": [None, ""]}]}
