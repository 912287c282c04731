"""What the PCE says of itself: health, version, networks."""

from pce.errors import NotFound, Problem
from pce.identifiers import tail
from pce.objects.filters import contains, matching
from pce.objects.product import PRODUCT_VERSION, health, networks
from pce.runtime.api_call import Call, ok, whole
from pce.runtime.http import Reply


def get_health(call: Call) -> Reply:
    """GET health."""
    return ok(health(call.stores.pce_fqdn, call.caller.at))


def get_product_version(call: Call) -> Reply:
    """GET product_version."""
    return ok(PRODUCT_VERSION)


def list_networks(call: Call) -> Reply:
    """GET networks."""
    found = matching(
        networks(call.caller.org_id),
        {"name": contains("name"), "data_center": contains("data_center")},
        call.query,
    )
    return whole(call, [dict(network) for network in found])


def get_network(call: Call) -> Reply:
    """GET networks/{id}."""
    for network in networks(call.caller.org_id):
        if tail(network["href"]) == call.id:
            return ok(network)
    raise NotFound(Problem("network_not_found", f"there is no network {call.id}"))
