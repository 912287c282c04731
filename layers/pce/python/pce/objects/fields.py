"""What clients may send: a small language for the attributes of JSON objects.

A :class:`Shape` names the attributes of one kind of object and what each may hold. Checking
collects every problem instead of stopping at the first, and returns a clean copy: unknown and
read-only attributes are left out, references are reduced to their href.

Absent, null and the empty string are told apart as compatible clients need it: an attribute that is
absent stays as it is, null and ``""`` clear an optional text or list, and for numbers, flags and
choices they mean "not said".
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pce.errors import Invalid, Problem
from pce.objects.hrefs import DRAFT, parse_href

MISSING = "required_attribute_missing"
INVALID = "invalid_attribute"
MAX_NAME = 255
"""Characters in a name; the same in all public clients."""
MAX_TEXT = 4096
"""Characters in a description: a screen full."""
MAX_ENTRIES = 10_000
"""Entries in a list: an IP list of 10,000 ranges compresses to a quarter of an item."""


class Field(Protocol):
    """What one attribute may hold."""

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The clean value; appends to ``problems`` what is wrong with it."""


_NOT_SAID = object()


def _empty(field: Field) -> Any:
    """What null and the empty string mean for an attribute."""
    if isinstance(field, Text | Address | Choices):
        return None
    if isinstance(field, ListOf):
        return []
    if isinstance(field, Reference | Record) and field.nullable:
        return None
    return _NOT_SAID


@dataclass(frozen=True, slots=True)
class Shape:
    """The attributes that clients may send of one kind of object."""

    fields: Mapping[str, Field]
    required: tuple[str, ...] = ()

    def check(
        self, value: Any, at: str, problems: list[Problem], *, partial: bool = False
    ) -> dict[str, Any]:
        """The clean object. ``partial``: required attributes may be absent (but not null)."""
        if not isinstance(value, Mapping):
            problems.append(_invalid(at, f"must be an object, not {_kind(value)}"))
            return {}
        clean: dict[str, Any] = {}
        for name, field in self.fields.items():
            if name not in value:
                continue
            where = f"{at}.{name}" if at else name
            given = value[name]
            result = (
                _empty(field)
                if given is None or given == ""
                else field.check(given, where, problems)
            )
            if result is not _NOT_SAID:
                clean[name] = result
        for name in self.required:
            absent = name not in value or value[name] is None or value[name] == ""
            if absent and not (partial and name not in value):
                where = f"{at}.{name}" if at else name
                problems.append(Problem(MISSING, f"{where} is required", where))
        return clean

    def empty(self) -> dict[str, Any]:
        """Every attribute without a value: lists empty, all others null."""
        return {
            name: [] if isinstance(field, ListOf) else None for name, field in self.fields.items()
        }

    def clean(self, value: Any, *, partial: bool = False) -> dict[str, Any]:
        """The clean object; raises :class:`Invalid` with everything that is wrong."""
        problems: list[Problem] = []
        clean = self.check(value, "", problems, partial=partial)
        if problems:
            raise Invalid(problems)
        return clean


@dataclass(frozen=True, slots=True)
class Text:
    """A text."""

    max_length: int = MAX_NAME
    pattern: str = ""

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The text as it was sent."""
        if not isinstance(value, str):
            problems.append(_invalid(at, f"must be a text, not {_kind(value)}"))
        elif len(value) > self.max_length:
            problems.append(
                _invalid(at, f"has {len(value)} characters, at most {self.max_length} are allowed")
            )
        elif self.pattern and not re.fullmatch(self.pattern, value):
            problems.append(_invalid(at, f"{value!r} does not have the form {self.pattern}"))
        return value


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number, both bounds inclusive."""

    least: int
    most: int

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The number as it was sent."""
        if not isinstance(value, int) or isinstance(value, bool):
            problems.append(_invalid(at, f"must be a whole number, not {_kind(value)}"))
        elif not self.least <= value <= self.most:
            problems.append(_invalid(at, f"{value} is not in {self.least}..{self.most}"))
        return value


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The flag as it was sent."""
        if not isinstance(value, bool):
            problems.append(_invalid(at, f"must be true or false, not {_kind(value)}"))
        return value


@dataclass(frozen=True, slots=True)
class Never:
    """A switch of what this product has not: false is all that it can be."""

    why: str

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """False."""
        if value is not False:
            message = f"{at}: {self.why}; false is all that it can be"
            problems.append(Problem(f"{at}_not_supported", message, at))
        return False


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a closed list of words."""

    words: tuple[str, ...]

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The word as it was sent."""
        if value not in self.words or not isinstance(value, str):
            problems.append(_invalid(at, f"{value!r} is not one of {', '.join(self.words)}"))
        return value


@dataclass(frozen=True, slots=True)
class Choices:
    """A list of words out of a closed list; one word alone counts as a list."""

    words: tuple[str, ...]

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The words as a list."""
        words = value if isinstance(value, list) else [value]
        for word in words:
            Choice(self.words).check(word, at, problems)
        return words


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address; with ``prefix`` also a network."""

    prefix: bool = False

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The address as text; a network with its host bits zero, since clients parse it so."""
        try:
            if self.prefix and isinstance(value, str) and "/" in value:
                return str(ipaddress.ip_network(value, strict=False))
            if not isinstance(value, str):
                raise ValueError
            return address_text(ipaddress.ip_address(value))
        except ValueError:
            kind = (
                "an IP address or a network such as 10.0.0.0/8" if self.prefix else "an IP address"
            )
            problems.append(_invalid(at, f"{value!r} is not {kind}"))
        return value


@dataclass(frozen=True, slots=True)
class Time:
    """A time with its offset from UTC (RFC 3339); a date alone does not say when."""

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The time as it was sent."""
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            moment = None
        if moment is None or moment.tzinfo is None:
            problems.append(_invalid(at, f"{value!r} is not a time such as 2026-01-31T12:00:00Z"))
        return value


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list whose entries are all of one kind."""

    entry: Field
    max_entries: int = MAX_ENTRIES
    also: Callable[[list[Any], str], Iterable[Problem]] | None = None
    """Checks what clean entries mean together."""

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The clean entries in the order sent."""
        if not isinstance(value, list):
            problems.append(_invalid(at, f"must be a list, not {_kind(value)}"))
            return []
        if len(value) > self.max_entries:
            problems.append(
                _invalid(at, f"has {len(value)} entries, at most {self.max_entries} are allowed")
            )
            return []
        before = len(problems)
        clean = [self.entry.check(v, f"{at}[{i}]", problems) for i, v in enumerate(value)]
        if self.also is not None and len(problems) == before:
            problems.extend(self.also(clean, at))
        return clean


@dataclass(frozen=True, slots=True)
class Record:
    """An object inside an object; ``also`` checks what its attributes mean together."""

    shape: Shape
    also: Callable[[Mapping[str, Any], str], Iterable[Problem]] | None = None
    nullable: bool = False

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The clean object."""
        before = len(problems)
        clean = self.shape.check(value, at, problems)
        if self.also is not None and len(problems) == before:
            problems.extend(self.also(clean, at))
        return {name: given for name, given in clean.items() if given is not None}


@dataclass(frozen=True, slots=True)
class Reference:
    """``{"href": ...}`` of an object of one collection.

    That the object exists is for the use case to find out.
    """

    collection: str
    nullable: bool = False
    version: str = DRAFT
    """In which form a provisionable object's href is kept."""
    also: str = ""
    """Another collection whose objects may stand there."""

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The href alone: clients send along what they read of the object."""
        href = value.get("href") if isinstance(value, Mapping) else None
        parsed = parse_href(href) if isinstance(href, str) else None
        if parsed is None or parsed.collection not in (self.collection, self.also):
            message = f"must be an object with the href of one of {self.collection}, not {value!r}"
            problems.append(_invalid(at, message))
            return None
        return {"href": parsed.in_version(self.version)}


def address_text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """The canonical form of RFC 5952, which writes IPv4 addresses in IPv6 clothes with dots."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(address) if mapped is None else f"::ffff:{mapped}"


def _invalid(at: str, what: str) -> Problem:
    return Problem(INVALID, f"{at or 'the body'}: {what}", at or None)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a flag", type(None): "null"}
    return names.get(type(value), "a number")
