"""Labels: a key (one of the label dimensions) and a value. Not provisioned: they act at once."""

from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import Shape, Text
from pce.objects.filters import contains, equals

KEY = Text(64, r"[A-Za-z0-9_.-]+")
"""A label key. It stands in claims and in names of attributes (``role_label_lock``)."""

LABELS = Collection(
    name="labels",
    kind="label",
    shape=Shape({"key": KEY, "value": Text(), **EXTERNAL_DATA}, required=("key", "value")),
    defaults={"deleted": False},
    immutable=("key",),
    unique=(("key", "value"),),
    filters={
        "key": equals("key"),
        "value": contains("value"),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    searched=("value",),
    keeps_deleted=True,
    shown_in_events=("href", "key", "value"),
)
