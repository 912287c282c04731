"""Label dimensions (label types): the keys that labels may have."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import Integer, Record, Shape, Text
from pce.objects.filters import contains, equals
from pce.objects.label import KEY

_DISPLAY = Shape(
    {
        "initial": Text(2),
        "icon": Text(),
        "background_color": Text(32),
        "foreground_color": Text(32),
        "sort_ordinal": Integer(0, 2**31 - 1),
        "display_name_plural": Text(),
    }
)


def _displayed(dimension: Mapping[str, Any]) -> dict[str, Any]:
    """The dimension with the ``initial`` of its ``display_info``, by default the first letter of
    its display name. Where none of it was ever said there is none: a client that said nothing
    would plan to take it away."""
    shown = dict(dimension)
    info = shown.pop("display_info", None)
    if info is None:
        return shown
    return {**shown, "display_info": {"initial": str(shown["display_name"])[:1].upper(), **info}}


LABEL_DIMENSIONS = Collection(
    name="label_dimensions",
    kind="label_dimension",
    shape=Shape(
        {
            "key": KEY,
            "display_name": Text(),
            "display_info": Record(_DISPLAY, nullable=True),
            **EXTERNAL_DATA,
        },
        required=("key", "display_name"),
    ),
    defaults={"deleted": False},
    immutable=("key",),
    unique=(("key",), ("display_name",)),
    filters={
        "key": equals("key"),
        "display_name": contains("display_name"),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    searched=("display_name",),
    numbered=False,
    keeps_deleted=True,
    caps=("write", "delete"),
    display=_displayed,
    shown_in_events=("href", "key", "display_name"),
)

FACTORY: Iterable[tuple[str, str]] = (
    ("role", "Role"),
    ("app", "Application"),
    ("env", "Environment"),
    ("loc", "Location"),
)
"""Key and display name of the dimensions that every org begins with."""
