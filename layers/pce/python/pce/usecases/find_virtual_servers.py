"""Which virtual server of active policy is at an address and port."""

from collections.abc import Mapping

from pce.flows.records import Vip
from pce.identifiers import OrgId, tail
from pce.objects.discovered_virtual_server import DISCOVERED_VIRTUAL_SERVERS
from pce.objects.hrefs import ACTIVE, in_version
from pce.objects.virtual_server import VIRTUAL_SERVERS
from pce.usecases.stores import Stores


def virtual_servers_by_vip(org_id: OrgId, stores: Stores) -> Mapping[Vip, dict[str, str]]:
    """Href and name of each virtual server in active policy, by where it is reached. Cost: the
    head of the versions, and where there are any, their documents and all discovered ones."""
    manifest = stores.policy_versions.head(org_id).manifest
    if not manifest.get(VIRTUAL_SERVERS.name):
        return {}
    documents = stores.policy_versions.documents(org_id, manifest, [VIRTUAL_SERVERS.name])
    found = {
        stored.id: stored.document
        for stored in stores.objects.all_of(org_id, DISCOVERED_VIRTUAL_SERVERS.name)
    }
    servers: dict[Vip, dict[str, str]] = {}
    for server in documents[VIRTUAL_SERVERS.name]:
        at = found.get(tail(server["discovered_virtual_server"]["href"]))
        if at is not None:
            href = in_version({"href": server["href"]}, ACTIVE)["href"]
            vip = (at["vip_address"], at["vip_proto"], at["vip_port"])
            servers[vip] = {"href": href, "name": server["name"]}
    return servers
