"""The objects of one policy version together: as facts to compute with, and by name to show."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pce.identifiers import OrgId, tail
from pce.objects.hrefs import in_version, parse_href
from pce.objects.rule import KINDS
from pce.policy.estate import Actor, Estate
from pce.policy.estate_from_documents import estate_from_documents

Document = Mapping[str, Any]

_COLLECTION_OF = {
    "label": "labels",
    "label_group": "label_groups",
    "ip_list": "ip_lists",
    "virtual_service": "virtual_services",
    "virtual_server": "virtual_servers",
}
"""Kind of an actor to the collection that it refers to; workloads are not part of a version."""


@dataclass(frozen=True)
class PolicyContent:
    """What a policy version holds, and what it refers to that has no versions."""

    org_id: OrgId
    version: str
    """``draft``, ``active`` or a number, as hrefs say it."""
    number: int | None
    """The version's number; None of the draft."""
    documents: Mapping[str, Sequence[Document]]
    """By collection, with draft hrefs."""
    labels: Sequence[Document]
    service_bindings: Sequence[Document] = ()
    discovered_virtual_servers: Sequence[Document] = ()
    workloads: Mapping[str, Document] = field(default_factory=dict)
    """By id: those whose names are wanted where rules name them."""

    def estate(self, workloads: Iterable[Document] = ()) -> Estate:
        """The facts, with these workloads. Cost: 20 microseconds a rule."""
        return estate_from_documents(
            workloads,
            self.labels,
            self.documents,
            self.service_bindings,
            self.discovered_virtual_servers,
        )

    def rule(self, rule_id: str) -> dict[str, Any]:
        """A rule as clients see it, by what stands behind the version in its href."""
        rule, rule_set = self._rules[rule_id]
        shown: dict[str, Any] = in_version(rule, self.version)
        if rule_set is not None:
            shown["rule_set"] = self._reference(rule_set)
        return shown

    def brief_rule(self, rule_id: str) -> dict[str, Any]:
        """What tells a person which rule it is."""
        rule, rule_set = self._rules[rule_id]
        return {
            "href": self.href(rule_id),
            "name": rule.get("name"),
            "description": rule.get("description"),
            "rule_set": None if rule_set is None else self._reference(rule_set),
        }

    def actor(self, actor: Actor) -> dict[str, Any]:
        """An actor as rules write it, with the name of what it refers to."""
        if not actor.id or actor.kind == "other":
            return {"actors": actor.id or actor.kind}
        if actor.kind == "workload":
            known = self.workloads.get(actor.id, {})
            names = {name: known[name] for name in ("name", "hostname") if name in known}
            href = known.get("href") or f"/orgs/{self.org_id}/workloads/{actor.id}"
            return {"workload": {"href": href, **names}}
        collection = _COLLECTION_OF[actor.kind]
        document = self._by_id[collection].get(actor.id)
        if document is None:
            return {actor.kind: {"href": self.href(f"{collection}/{actor.id}")}}
        exclusion = {"exclusion": True} if actor.exclusion else {}
        return {actor.kind: self._reference(document), **exclusion}

    def knows(self, href: str) -> bool:
        """Is it the href of a label of the org, or of an actor or service of this version, in
        whatever version the href says?"""
        parsed = parse_href(href)
        if parsed is None or parsed.org_id != self.org_id:
            return False
        document = self._by_id.get(parsed.collection, {}).get(parsed.id)
        return document is not None and not document.get("deleted")

    def brief_workload(self, workload: Document) -> dict[str, Any]:
        """What policy depends on of a workload, with its labels' keys and values."""
        found = (self._by_id["labels"].get(tail(r["href"])) for r in workload.get("labels") or ())
        return {
            "href": workload["href"],
            "name": workload.get("name"),
            "hostname": workload.get("hostname"),
            "managed": bool(workload.get("ven")),
            "online": bool(workload.get("online")),
            "enforcement_mode": workload.get("enforcement_mode"),
            "labels": [self._reference(label) for label in found if label is not None],
        }

    def href(self, behind_version: str) -> str:
        """``rule_sets/3`` in this version."""
        return f"/orgs/{self.org_id}/sec_policy/{self.version}/{behind_version}"

    def _reference(self, document: Document) -> dict[str, Any]:
        names = {name: document[name] for name in ("key", "value", "name") if name in document}
        reference: dict[str, Any] = in_version({"href": document["href"]}, self.version)
        return {**reference, **names}

    @cached_property
    def _by_id(self) -> dict[str, dict[str, Document]]:
        found = {
            name: {tail(document["href"]): document for document in self.documents.get(name, ())}
            for name in (*_COLLECTION_OF.values(), "services")
        }
        found["labels"] = {tail(label["href"]): label for label in self.labels}
        return found

    @cached_property
    def _rules(self) -> dict[str, tuple[Document, Document | None]]:
        """Rules by what stands behind the version in their hrefs, each with its rule set."""
        found: dict[str, tuple[Document, Document | None]] = {}
        for rule_set in self.documents.get("rule_sets", ()):
            for rules in KINDS.values():
                for rule in rule_set.get(rules) or ():
                    found[_behind_version(rule["href"])] = rule, rule_set
        for boundary in self.documents.get("enforcement_boundaries", ()):
            found[_behind_version(boundary["href"])] = boundary, None
        return found


def _behind_version(href: str) -> str:
    return href.split("/", 5)[5]
