"""Virtual servers: those of load balancers that policy is about. Provisioned.

Where one is, its discovered virtual server says (``discovered_virtual_server.py``); this one says
what rules need: labels, who its members are (``providers``), and on which service they hear the
load balancer. ``unmanaged`` ones are known and mean nothing in policy.
"""

from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import MAX_TEXT, Choice, ListOf, Reference, Shape, Text
from pce.objects.filters import contains, equals, has_labels, refers_to
from pce.objects.rule import LABELS_ONLY, Actor

MODES = ("unmanaged", "enforced")

VIRTUAL_SERVERS = Collection(
    name="virtual_servers",
    kind="virtual_server",
    shape=Shape(
        {
            "name": Text(),
            "description": Text(MAX_TEXT),
            "discovered_virtual_server": Reference("discovered_virtual_servers"),
            "labels": ListOf(Reference("labels"), max_entries=64),
            "service": Reference("services", nullable=True),
            "providers": ListOf(Actor({**LABELS_ONLY, "workload": "workloads"})),
            "mode": Choice(MODES),
            **EXTERNAL_DATA,
        },
        required=("name", "discovered_virtual_server"),
    ),
    defaults={"mode": "unmanaged"},
    unique=(("name",), ("discovered_virtual_server",)),
    filters={
        "name": contains("name"),
        "description": contains("description"),
        "discovered_virtual_server": refers_to("discovered_virtual_server"),
        "service": refers_to("service"),
        "labels": has_labels,
        "mode": equals("mode"),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    numbered=False,
    caps=("write", "provision", "delete"),
)
