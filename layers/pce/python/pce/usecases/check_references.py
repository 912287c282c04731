"""What a document refers to must exist, belong to the caller's org and fit together."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from pce.errors import Invalid, Problem
from pce.identifiers import tail
from pce.objects.collection import Collection
from pce.objects.firewall_settings import SCOPE_LISTS
from pce.objects.hrefs import PROVISIONABLE, Href, parse_href
from pce.objects.label_group import LABEL_GROUPS, cycle
from pce.objects.policy_version import references
from pce.objects.product import networks
from pce.objects.role import roles
from pce.objects.rule_set import scope_key_problems
from pce.objects.service_binding import unknown_port_problems
from pce.objects.virtual_service import VIRTUAL_SERVICES, offers
from pce.store.policy_versions import Head
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores

Document = Mapping[str, Any]

_READ_TOGETHER = {
    "workloads": ("labels",),
    "pairing_profiles": ("labels",),
    "virtual_services": ("labels",),
    "virtual_servers": ("labels",),
    "container_workload_profiles": ("labels", "assign_labels"),
    "label_groups": ("labels", "sub_groups"),
    "rule_sets": ("scopes",),
    "label_mapping_rules": ("label_assignments",),
    "permissions": ("scope",),
    "firewall_settings": (*SCOPE_LISTS, "firewall_coexistence"),
}
"""Attributes whose references must fit each other, so that all of them are read when one changes.
"""


def check_references(
    caller: Caller,
    collection: Collection,
    document: Document,
    stores: Stores,
    before: Document | None = None,
) -> None:
    """Raise :class:`Invalid` naming every href that the document may not refer to.

    References that ``before`` had too are believed: a rule whose workload is gone can still be
    switched off. Cost: one batch read per collection that it refers to, and per 100 hrefs.
    """
    around = Surroundings(caller, stores)
    around.look_up(hrefs_to_check(collection, document, before))
    around.check(collection, document, before)


def existing(caller: Caller, hrefs: Iterable[str], stores: Stores) -> Mapping[str, Document]:
    """The objects behind hrefs; raises :class:`Invalid` naming those that are not there."""
    around = Surroundings(caller, stores)
    around.look_up(hrefs)
    problems = _missing_problems(hrefs, around.found)
    if problems:
        raise Invalid(problems)
    return around.found


def hrefs_to_check(
    collection: Collection, document: Document, before: Document | None = None
) -> set[str]:
    """The hrefs that must be looked up before ``document`` may take the place of ``before``."""
    hrefs = references(document)
    if before is not None:
        hrefs -= references(before)
        changed = {
            name: document[name]
            for name in _READ_TOGETHER.get(collection.name, ())
            if document.get(name) != before.get(name)
        }
        hrefs |= references(changed)
    return hrefs


class Surroundings:
    """What documents refer to, read once for any number of them."""

    def __init__(self, caller: Caller, stores: Stores) -> None:
        self._caller = caller
        self._stores = stores
        self.found: dict[str, Document] = {}
        """Documents by the hrefs that were asked for. Those that are missing, deleted or another
        org's are left out: these look alike, so that nobody learns of another org's objects."""

    def look_up(self, hrefs: Iterable[str]) -> None:
        """Read the documents behind hrefs into :attr:`found`."""
        org_id = self._caller.org_id
        wanted: dict[str, list[tuple[str, Href]]] = defaultdict(list)
        for href in set(hrefs):
            parsed = parse_href(href)
            if parsed is not None and parsed.org_id == org_id:
                wanted[parsed.collection].append((href, parsed))
        if wanted.pop("networks", None):
            self.found |= {str(network["href"]): network for network in networks(org_id)}
        if wanted.pop("roles", None):
            self.found |= {str(role["href"]): role for role in roles(org_id)}
        for name, asked in wanted.items():
            where = f"draft#{name}" if name in PROVISIONABLE else name
            read = self._stores.objects.get_many(org_id, where, [h.item_id for _, h in asked])
            for href, parsed in asked:
                document = read[parsed.item_id].document if parsed.item_id in read else None
                if document and not (document.get("deleted") or document.get("deleted_at")):
                    self.found[href] = document

    def check(
        self, collection: Collection, document: Document, before: Document | None = None
    ) -> None:
        """Raise :class:`Invalid` with what is wrong with a document's references, which were
        looked up before."""
        missing = _missing_problems(hrefs_to_check(collection, document, before), self.found)
        problems = missing or list(self._meaning_problems(collection, document, before))
        if problems:
            raise Invalid(problems)

    @cached_property
    def _head(self) -> Head:
        return self._stores.policy_versions.head(self._caller.org_id)

    def _meaning_problems(
        self, collection: Collection, document: Document, before: Document | None
    ) -> Iterable[Problem]:
        def changed(name: str) -> bool:
            return before is None or document.get(name) != before.get(name)

        match collection.name:
            case "labels":
                yield from self._unknown_key_problems(document["key"])
            case "workloads" | "pairing_profiles" | "virtual_services" | "virtual_servers":
                if changed("labels"):
                    yield from _label_problems(document["labels"], self.found)
            case "container_workload_profiles":
                yield from self._profile_problems(document, changed)
            case "label_groups":
                if before is None:
                    yield from self._unknown_key_problems(document["key"])
                for name in filter(changed, ("labels", "sub_groups")):
                    yield from _other_key_problems(document["key"], document[name], self.found)
                if before is not None and changed("sub_groups"):
                    yield from self._cycle_problems(document)
            case "rule_sets":
                if changed("scopes"):
                    yield from scope_key_problems(document["scopes"], "scopes", self.found)
            case "permissions":
                if changed("scope"):
                    yield from scope_key_problems([document["scope"]], "scope", self.found)
            case "label_mapping_rules":
                if changed("label_assignments"):
                    given = [entry["label"] for entry in document["label_assignments"]]
                    yield from _label_problems(given, self.found)
            case "firewall_settings":
                for name in filter(changed, SCOPE_LISTS):
                    yield from scope_key_problems(document[name], name, self.found)
                if changed("firewall_coexistence"):
                    for entry in document["firewall_coexistence"]:
                        yield from _label_problems(entry["scope"], self.found)
            case "service_bindings":
                yield from self._binding_problems(document)

    def _unknown_key_problems(self, key: str) -> Iterable[Problem]:
        """A label key must be that of a label dimension."""
        if key not in self._label_keys:
            known = ", ".join(self._label_keys)
            message = f"there is no label dimension {key!r}; there are {known}"
            yield Problem("unknown_label_key", message, "key")

    @cached_property
    def _label_keys(self) -> list[str]:
        stored = self._stores.objects.all_of(self._caller.org_id, "label_dimensions")
        return sorted(s.document["key"] for s in stored if not s.document.get("deleted"))

    def _profile_problems(
        self, profile: Document, changed: Callable[[str], bool]
    ) -> Iterable[Problem]:
        if changed("assign_labels"):
            yield from _label_problems(profile["assign_labels"], self.found)
        if changed("labels"):
            for entry in profile["labels"]:
                yield from self._unknown_key_problems(entry["key"])
                named = [*entry.get("restriction", ()), *filter(None, [entry.get("assignment")])]
                yield from _other_key_problems(entry["key"], named, self.found)

    def _cycle_problems(self, group: Document) -> Iterable[Problem]:
        """A circle among the drafts. Reads all label groups."""
        drafts = self._stores.policy_versions.drafts(
            self._caller.org_id, LABEL_GROUPS.name, self._head
        )
        others = (draft.draft.document for draft in drafts)
        inside: dict[str, list[str]] = {}
        for one in (group, *others):  # its own first: a circle is told from there
            inside.setdefault(str(one["href"]), [inner["href"] for inner in one["sub_groups"]])
        circle = cycle(inside)
        if circle:
            message = f"a label group cannot contain itself: {' contains '.join(circle)}"
            yield Problem("label_group_cycle", message, "sub_groups")

    def _binding_problems(self, binding: Document) -> Iterable[Problem]:
        """Only an active virtual service can be bound, and only its own ports overridden."""
        href = binding["virtual_service"]["href"]
        draft_href = self.found[href]["href"]
        revision = self._head.manifest.get(VIRTUAL_SERVICES.name, {}).get(tail(href))
        if revision is None:
            message = f"{href} is not provisioned; provision {draft_href} first"
            yield Problem("virtual_service_not_active", message, "virtual_service")
        elif binding["port_overrides"]:
            active = self._stores.policy_versions.active(self._caller.org_id, self._head)
            [bound] = [d for d in active[VIRTUAL_SERVICES.name] if d["href"] == draft_href]
            services = {str(d["href"]): d for d in active.get("services", ())}
            yield from unknown_port_problems(binding, offers(bound, services))


def _missing_problems(hrefs: Iterable[str], found: Mapping[str, Document]) -> list[Problem]:
    return [
        Problem("invalid_reference", f"{href} does not exist, or was deleted", href)
        for href in sorted(set(hrefs) - found.keys())
    ]


def _other_key_problems(
    key: str, members: Iterable[Document], found: Mapping[str, Document]
) -> Iterable[Problem]:
    """Members whose key is not ``key``."""
    for reference in members:
        member = found[reference["href"]]
        if member["key"] != key:
            message = f"{reference['href']} has the key {member['key']!r}, not {key!r}"
            yield Problem("label_group_key_mismatch", message, reference["href"])


def _label_problems(labels: Iterable[Document], found: Mapping[str, Document]) -> Iterable[Problem]:
    """No two labels of one key."""
    seen: dict[str, str] = {}
    for reference in labels:
        key = found[reference["href"]]["key"]
        if key in seen:
            message = f"{seen[key]} and {reference['href']} both have the key {key!r}; keep one"
            yield Problem("label_key_repeated", message, "labels")
        seen[key] = reference["href"]
