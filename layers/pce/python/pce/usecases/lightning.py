"""Whether an org's policy goes out by lightning bolts."""

from pce.identifiers import OrgId
from pce.objects.optional_feature import LIGHTNING, PAGE, switched
from pce.usecases.stores import Stores


def has_lightning(org_id: OrgId, stores: Stores) -> bool:
    """False: VENs learn of a newer policy by their next heartbeat alone. One read."""
    stored = stores.objects.get(org_id, "settings", PAGE)
    features = switched(stored.document["features"] if stored else ())
    return any(one["enabled"] for one in features if one["name"] == LIGHTNING)
