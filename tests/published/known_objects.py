"""What an org has, by collection: hrefs as answers showed them, put where generated ones stood.

An id that is drawn at random names nothing, and a call of it says little beyond 404.
"""

import re
import zlib
from collections import defaultdict
from typing import Any

MADE_UP = 4
"""One in so many hrefs and ids stays as it was drawn."""
KEPT = 50
"""Hrefs of a collection that are remembered."""
_PARENT = re.compile(r"([^/{}]+)/\{(\w+)\}")


class KnownObjects:
    """Remembers hrefs, and puts them into paths and bodies. Which one is chosen depends on what was
    drawn, so that a case that is repeated is the same while nothing new is known."""

    def __init__(self) -> None:
        self._hrefs: dict[str, list[str]] = defaultdict(list)

    def learn(self, answer: Any) -> None:
        """Remember every href in a body."""
        if isinstance(answer, dict):
            href = answer.get("href")
            if isinstance(href, str) and href.count("/") >= 2:
                known = self._hrefs[href.split("/")[-2]]
                if href not in known and len(known) < KEPT:
                    known.append(href)
            for value in answer.values():
                self.learn(value)
        elif isinstance(answer, list):
            for value in answer[:KEPT]:
                self.learn(value)

    def first(self, collection: str) -> str:
        """The href that was learned first; empty without any."""
        return next(iter(self._hrefs.get(collection, ())), "")

    def ids(self, path: str, number: int) -> dict[str, str]:
        """Ids of objects that exist for the parameters of a path, as the document writes it; a
        parameter whose collection has nothing is left out. ``number`` chooses among many. Ids of
        what lies under another object are those of one href, where one fits."""
        *_, (collection, last) = _PARENT.findall(path) or [("", "")]
        parts = re.split(r"\{(\w+)\}", path[: path.rfind("{" + last + "}") + len(last) + 2])
        form = "".join(f"(?P<{p}>[^/]+)" if at % 2 else re.escape(p) for at, p in enumerate(parts))
        known = self._hrefs.get(collection, ())
        whole = [found.groupdict() for href in known if (found := re.fullmatch(form, href))]
        if whole:
            chosen = whole[number % len(whole)]
            return {name: id for name, id in chosen.items() if name not in ("org", "version")}
        return {
            name: known[number % len(known)].rsplit("/", 1)[-1]
            for collection, name in _PARENT.findall(path)
            if name != "org" and (known := self._hrefs.get(collection))
        }

    def references(self, body: Any) -> Any:
        """A body with hrefs of objects that exist, of the collection that the drawn one names or
        of any."""
        if isinstance(body, list):
            return [self.references(value) for value in body]
        if not isinstance(body, dict):
            return body
        return {
            name: self._reference(value) if name == "href" else self.references(value)
            for name, value in body.items()
        }

    def _reference(self, drawn: Any) -> Any:
        if not isinstance(drawn, str):
            return drawn
        parts = drawn.split("/")
        collection = parts[-2] if len(parts) > 1 else ""
        if collection not in self._hrefs and self._hrefs:
            names = sorted(self._hrefs)
            collection = names[_number(drawn) % len(names)]
        return self._chosen(collection, drawn) or drawn

    def _chosen(self, collection: str, drawn: Any) -> str:
        known, number = self._hrefs.get(collection, ()), _number(drawn)
        return known[number // MADE_UP % len(known)] if known and number % MADE_UP else ""


def _number(drawn: Any) -> int:
    return zlib.crc32(repr(drawn).encode(errors="replace"))
