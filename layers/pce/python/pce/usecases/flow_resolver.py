"""What the hrefs in a traffic query mean now."""

import uuid
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pce.flows.selection import IpListContent
from pce.identifiers import OrgId, tail
from pce.objects.hrefs import ACTIVE, DRAFT, Href, parse_href
from pce.objects.label_group import members
from pce.policy.addresses import interval, subtract
from pce.store.policy_versions import Head
from pce.usecases.read_containers import HOSTS
from pce.usecases.stores import Stores


class FlowResolver:
    """Reads what a query names, each kind of object once. Groups and IP lists may be named in the
    draft or in the active policy."""

    def __init__(self, org_id: OrgId, stores: Stores) -> None:
        self._org_id = org_id
        self._stores = stores

    @cached_property
    def _head(self) -> Head:
        return self._stores.policy_versions.head(self._org_id)

    def label_ids(self, href: str) -> frozenset[str] | None:
        """The id of a label, or those of all labels of a label group and its sub-groups."""
        parsed = self._mine(href)
        if parsed is None:
            return None
        if parsed.collection == "labels":
            stored = self._stores.objects.get(self._org_id, "labels", parsed.item_id)
            return None if stored is None else frozenset([parsed.id])
        if parsed.collection != "label_groups":
            return None
        groups = self._policy_objects(parsed)
        draft_href = parsed.in_version(DRAFT)
        if draft_href not in groups:
            return None
        return frozenset(tail(label["href"]) for label in members(draft_href, groups))

    def workload_id(self, href: str) -> uuid.UUID | None:
        """The id of a workload; of a deleted one too."""
        parsed = self._mine(href)
        if parsed is None or parsed.collection not in HOSTS:
            return None
        stored = self._stores.objects.get(self._org_id, parsed.collection, parsed.id)
        return None if stored is None else uuid.UUID(stored.id)

    def ip_list(self, href: str) -> IpListContent | None:
        """The content of an IP list."""
        parsed = self._mine(href)
        if parsed is None or parsed.collection != "ip_lists":
            return None
        document = self._policy_objects(parsed).get(parsed.in_version(DRAFT))
        if document is None:
            return None
        ranges = [
            (bool(part.get("exclusion")), interval(part["from_ip"], part.get("to_ip")))
            for part in document["ip_ranges"]
        ]
        return IpListContent(
            intervals=subtract(
                [span for excluded, span in ranges if not excluded],
                [span for excluded, span in ranges if excluded],
            ),
            fqdns=tuple(name["fqdn"] for name in document["fqdns"]),
        )

    def _mine(self, href: str) -> Href | None:
        parsed = parse_href(href)
        return parsed if parsed is not None and parsed.org_id == self._org_id else None

    def _policy_objects(self, parsed: Href) -> Mapping[str, Mapping[str, Any]]:
        """All objects of a collection in the version that the href names, by draft href."""
        versions = self._stores.policy_versions
        if parsed.version == DRAFT:
            drafts = versions.drafts(self._org_id, parsed.collection, self._head)
            return {str(found.draft.document["href"]): found.draft.document for found in drafts}
        manifest = self._head.manifest
        if parsed.version != ACTIVE:
            found = versions.version(self._org_id, int(parsed.version))
            manifest = found[1] if found else {}
        documents = versions.documents(self._org_id, manifest, [parsed.collection])
        return {str(document["href"]): document for document in documents[parsed.collection]}
