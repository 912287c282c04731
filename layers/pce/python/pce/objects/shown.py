"""What several collections show in the same way: references that carry names."""

from collections.abc import Iterable, Mapping
from typing import Any

Document = Mapping[str, Any]

_NAMES = ("key", "value", "name")


def with_names(document: Document, attribute: str, named: Mapping[str, Document]) -> dict[str, Any]:
    """The document whose references under ``attribute`` carry key, value and name of their objects,
    as far as these are in ``named`` (by href) and have them."""
    references = [
        {
            "href": reference["href"],
            **{
                name: named[reference["href"]][name]
                for name in _NAMES
                if name in named.get(reference["href"], ())
            },
        }
        for reference in document.get(attribute) or ()
    ]
    return {**document, attribute: references}


def referred_to(documents: Iterable[Document], attribute: str) -> list[str]:
    """Hrefs under ``attribute``, each once."""
    return list(
        dict.fromkeys(
            reference["href"]
            for document in documents
            for reference in document.get(attribute) or ()
        )
    )
