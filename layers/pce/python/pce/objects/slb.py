"""Server load balancers (SLBs): one unit, or a pair of them. Kept and shown; nobody logs in to them
here, so their credentials are not kept."""

from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import MAX_TEXT, Integer, ListOf, Record, Reference, Shape, Text
from pce.objects.filters import contains, equals, refers_to

MAX_DEVICES = 16
"""Units of one load balancer: pairs are usual."""

_DEVICE = Record(
    Shape(
        {
            "name": Text(),
            "config": Record(
                Shape({"host": Text(), "port": Integer(1, 65535), "device_type": Text()})
            ),
        }
    )
)

SLBS = Collection(
    name="slbs",
    kind="slb",
    shape=Shape(
        {
            "name": Text(),
            "description": Text(MAX_TEXT),
            "device_type": Text(),
            "devices": ListOf(_DEVICE, max_entries=MAX_DEVICES),
            "network_enforcement_node": Reference("network_enforcement_nodes", nullable=True),
            **EXTERNAL_DATA,
        },
        required=("name",),
    ),
    filters={
        "name": contains("name"),
        "description": contains("description"),
        "device_type": equals("device_type"),
        "network_enforcement_node": refers_to("network_enforcement_node"),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    numbered=False,
    caps=("write", "delete"),
)
