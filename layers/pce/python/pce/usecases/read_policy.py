"""Read the whole of one policy version, to compute with it."""

from typing import Any

from pce.errors import NotFound, Problem
from pce.identifiers import OrgId
from pce.objects.catalogue import PROVISIONED
from pce.objects.hrefs import ACTIVE, DRAFT
from pce.objects.policy_content import PolicyContent
from pce.usecases.stores import Stores


def read_policy(org_id: OrgId, version: str, stores: Stores) -> PolicyContent:
    """A policy version: ``draft`` (as if everything pending were provisioned), ``active`` or a
    number. Labels, service bindings and discovered virtual servers are those of now, whatever the
    version.

    Raises :class:`NotFound` for a number that is none. Cost: all of these three; all drafts, or of
    a provisioned version what is not in memory.
    """
    versions = stores.policy_versions
    head = versions.head(org_id)
    number: int | None
    if version == DRAFT:
        number = None
        drafts = {
            collection.name: versions.drafts(org_id, collection.name, head)
            for collection in PROVISIONED
        }
        documents = {
            name: [f.draft.document for f in found if not f.draft.document.get("deleted_at")]
            for name, found in drafts.items()
        }
    elif version == ACTIVE:
        number, documents = head.version, versions.active(org_id, head)
    else:
        found = versions.version(org_id, int(version))
        if found is None:
            raise NotFound(Problem("sec_policy_not_found", f"there is no policy version {version}"))
        number, documents = int(version), versions.documents(org_id, found[1], found[1])

    def all_of(collection: str) -> list[dict[str, Any]]:
        return [stored.document for stored in stores.objects.all_of(org_id, collection)]

    return PolicyContent(
        org_id=org_id,
        version=version,
        number=number,
        documents=documents,
        labels=all_of("labels"),
        service_bindings=all_of("service_bindings"),
        discovered_virtual_servers=all_of("discovered_virtual_servers"),
    )
