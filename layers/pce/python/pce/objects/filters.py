"""Query parameters of collections: text in, a question to a document out.

How values are written is set by what public clients send: booleans in any spelling, label
selections as JSON, ranges as ``name[gte]``. Parameters that a collection does not know are ignored.
"""

import ipaddress
import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pce.errors import Invalid, Problem
from pce.objects.hrefs import DRAFT, parse_href

Filter = Callable[[Mapping[str, Any]], bool]
MakeFilter = Callable[[str], Filter]


class MalformedParameter(Invalid):
    """A query parameter that cannot be understood; ``wanted`` says what it should have been."""

    def __init__(self, name: str, text: str, wanted: str) -> None:
        self.wanted = wanted
        message = f"the query parameter {name} must be {wanted}, not {text[:100]!r}"
        super().__init__(Problem("invalid_query_parameter", message, name))


_TRUE = ("true", "yes", "1", "t")
_FALSE = ("false", "no", "0", "f", "")


def contains(path: str) -> MakeFilter:
    """The text attribute holds the given text somewhere, in any case."""

    def make(text: str) -> Filter:
        wanted = text.casefold()
        return lambda document: wanted in str(value_at(document, path) or "").casefold()

    return make


def equals(path: str) -> MakeFilter:
    """The attribute is exactly the given text (a reference: its href is)."""

    def make(text: str) -> Filter:
        def fits(document: Mapping[str, Any]) -> bool:
            value = value_at(document, path)
            if isinstance(value, Mapping):
                value = value.get("href")
            return value is not None and str(value) == text

        return fits

    return make


def refers_to(path: str) -> MakeFilter:
    """The attribute refers to the object with the given href, in whatever policy version."""

    def make(text: str) -> Filter:
        wanted = draft_form(text)
        return lambda document: draft_form((value_at(document, path) or {}).get("href")) == wanted

    return make


def draft_form(href: str | None) -> str | None:
    """The href in the form in which documents are stored; what is no href stays as it is."""
    parsed = parse_href(href) if href else None
    return parsed.in_version(DRAFT) if parsed else href


def flag(path: str) -> MakeFilter:
    """The attribute is true, or is not."""

    def make(text: str) -> Filter:
        wanted = boolean(text, path)
        return lambda document: bool(value_at(document, path)) is wanted

    return make


def one_of(path: str) -> MakeFilter:
    """The attribute is one of the words in a JSON list."""

    def make(text: str) -> Filter:
        words = {word for word in json_list(text, path) if isinstance(word, str)}
        return lambda document: value_at(document, path) in words

    return make


def at_least(path: str) -> MakeFilter:
    """The time (RFC 3339) is not before the given one; documents without it do not match."""
    return _compared(path, lambda value, bound: value >= bound)


def at_most(path: str) -> MakeFilter:
    """The time (RFC 3339) is not after the given one; documents without it do not match."""
    return _compared(path, lambda value, bound: value <= bound)


def _compared(path: str, holds: Callable[[datetime, datetime], bool]) -> MakeFilter:
    def make(text: str) -> Filter:
        bound = time_of(text, path)

        def fits(document: Mapping[str, Any]) -> bool:
            value = value_at(document, path)
            return bool(value) and holds(time_of(str(value), path), bound)

        return fits

    return make


def number_at_least(path: str) -> MakeFilter:
    """The number is not below the given one; documents without it do not match."""
    return lambda text: _number(path, whole_number(text, path), operator.ge)


def number_at_most(path: str) -> MakeFilter:
    """The number is not above the given one; documents without it do not match."""
    return lambda text: _number(path, whole_number(text, path), operator.le)


def _number(path: str, bound: int, holds: Callable[[float, int], bool]) -> Filter:
    def fits(document: Mapping[str, Any]) -> bool:
        value = value_at(document, path)
        return isinstance(value, int | float) and holds(value, bound)

    return fits


def has_labels(text: str) -> Filter:
    """The object carries labels: ``[["/orgs/1/labels/1", ...], ...]``, inner AND, outer OR."""
    rows = [
        {str(href) for href in (row if isinstance(row, list) else [row])}
        for row in json_list(text, "labels")
    ]

    def fits(document: Mapping[str, Any]) -> bool:
        mine = {label["href"] for label in document.get("labels") or ()}
        return not rows or any(row <= mine for row in rows)

    return fits


def has_address(text: str) -> Filter:
    """One of the interfaces' addresses, or the public address, holds the given text."""

    def fits(document: Mapping[str, Any]) -> bool:
        addresses = [i.get("address") or "" for i in document.get("interfaces") or ()]
        return any(text in address for address in (*addresses, document.get("public_ip") or ""))

    return fits


def lists_address(text: str) -> Filter:
    """The IP list's ranges include the given address (exclusions are honoured)."""
    try:
        address = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise MalformedParameter("ip_address", text, "an IP address or network") from error

    def fits(document: Mapping[str, Any]) -> bool:
        hits = [
            bool(part.get("exclusion"))
            for part in document.get("ip_ranges") or ()
            if _range_includes(part, address)
        ]
        return bool(hits) and not any(hits)

    return fits


def _range_includes(
    part: Mapping[str, Any], wanted: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    version, low, high = span_of(part)
    return version == wanted.version and low <= int(wanted[0]) and int(wanted[-1]) <= high


def span_of(part: Mapping[str, Any]) -> tuple[int, int, int]:
    """An entry of an IP list's ranges: IP version, first and last address as numbers."""
    if part.get("to_ip"):
        low = ipaddress.ip_address(part["from_ip"])
        return low.version, int(low), int(ipaddress.ip_address(part["to_ip"]))
    network = ipaddress.ip_network(part["from_ip"], strict=False)
    return network.version, int(network[0]), int(network[-1])


def boolean(text: str, name: str) -> bool:
    """True or false, as the various clients spell it; raises :class:`Invalid` otherwise."""
    if text.casefold() in _TRUE:
        return True
    if text.casefold() in _FALSE:
        return False
    raise MalformedParameter(name, text, "true or false")


def whole_number(text: str, name: str) -> int:
    """A whole number; raises :class:`Invalid` otherwise."""
    try:
        return int(text)
    except ValueError as error:
        raise MalformedParameter(name, text, "a whole number") from error


def json_list(text: str, name: str) -> list[Any]:
    """A JSON list; raises :class:`Invalid` otherwise."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedParameter(name, text, "a JSON list") from error
    if not isinstance(value, list):
        raise MalformedParameter(name, text, "a JSON list")
    return value


def time_of(text: str, name: str) -> datetime:
    """An RFC 3339 time, with any offset and up to nanoseconds; a date alone is its midnight UTC.

    Raises :class:`Invalid` for anything else.
    """
    try:
        # A plus sign that a client did not encode arrives as a space.
        at = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text)
    except ValueError as error:
        raise MalformedParameter(name, text, "a time such as 2026-01-31T12:00:00Z") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def value_at(document: Mapping[str, Any], path: str) -> Any:
    """The value under a dotted path, None where it leads nowhere."""
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def matching(
    documents: Iterable[Mapping[str, Any]],
    makers: Mapping[str, MakeFilter],
    query: Mapping[str, str],
) -> list[Mapping[str, Any]]:
    """The documents that satisfy every parameter of the query that the collection knows."""
    return list(each_matching(documents, makers, query))


def each_matching(
    documents: Iterable[Mapping[str, Any]],
    makers: Mapping[str, MakeFilter],
    query: Mapping[str, str],
) -> Iterator[Mapping[str, Any]]:
    """As :func:`matching`, one by one. Raises for a malformed parameter before it reads any."""
    fits = filter_of(makers, query)
    return (document for document in documents if fits(document))


def filter_of(makers: Mapping[str, MakeFilter], query: Mapping[str, str]) -> Filter:
    """Whether a document satisfies every parameter of the query that the collection knows."""
    filters = []
    for name, text in query.items():
        if name in makers:
            try:
                filters.append(makers[name](text))
            except MalformedParameter as error:
                raise MalformedParameter(name, text, error.wanted) from error
    return lambda document: all(fits(document) for fits in filters)


def first_matching(
    documents: Iterable[Mapping[str, Any]],
    makers: Mapping[str, MakeFilter],
    searched: Iterable[str],
    query: Mapping[str, str],
    limit: int | None,
) -> tuple[list[Mapping[str, Any]], int]:
    """The first ``limit`` that match (None: all), exact matches of searched text before others, and
    how many match. Holds no more than it returns, where no text is searched."""
    found = each_matching(documents, makers, query)
    if any(query.get(name) for name in searched):
        in_order = exact_first(list(found), searched, query)
        return in_order[:limit], len(in_order)
    page = list(islice(found, limit))
    return page, len(page) + sum(1 for _ in found)


def exact_first(
    documents: list[Mapping[str, Any]], searched: Iterable[str], query: Mapping[str, str]
) -> list[Mapping[str, Any]]:
    """The documents, those first whose searched text is exactly what the query says."""
    wanted = {name: query[name].casefold() for name in searched if query.get(name)}
    if not wanted:
        return documents
    return sorted(
        documents,
        key=lambda document: any(
            str(document.get(name) or "").casefold() != text for name, text in wanted.items()
        ),
    )
