"""An org with VENs and rules, made without the API, and what its policy should be."""

import time
import uuid
from dataclasses import dataclass
from typing import Any

from pce.identifiers import OrgId
from pce.policy.estate_from_documents import estate_from_documents
from pce.policy.parts import Block, ClassPart, set_versions, version_name
from pce.policy.recompute import recompute
from pce.runtime.settings import Environment
from pce.runtime.wiring import Wiring
from pce.store.change import Change, PolicyChange, PresenceChange, Put
from pce.store.policy_versions import HEAD
from pce.usecases.compile_policy import Compiled, compile_policy
from tests.fakes.installation import fake_aws
from tests.fakes.policies import wanted_document
from ven_protocol.policy import PolicyDocument

ORG = OrgId(1)
NOW = 1_790_000_000


def another_worker() -> Wiring:
    """The stores of another process: nothing in memory."""
    return Wiring(Environment.read())


@dataclass
class PolicyOrg:
    """One org. Every change is one transaction with its entry in the change log."""

    stores: Wiring
    org_id: OrgId = ORG

    def id(self, number: int) -> str:
        return str(uuid.UUID(int=number))

    def label(self, *numbers: int) -> None:
        """Labels 1, 2, ... of the keys ``role``, with their numbers as values."""
        puts = tuple(
            Put(
                "labels",
                f"{number:012d}",
                {
                    "href": f"/orgs/{self.org_id}/labels/{number}",
                    "key": "role",
                    "value": str(number),
                    "deleted": False,
                },
            )
            for number in numbers
        )
        hrefs = tuple(put.document["href"] for put in puts)
        self._commit(puts, PolicyChange("labels", hrefs))

    def add(self, *numbers: int, label: int = 1) -> None:
        """Workloads with VENs, each with the address 10.0.x.y of its number."""
        for at in range(0, len(numbers), 40):
            some = numbers[at : at + 40]
            puts, presence = [], []
            for number in some:
                document = {
                    "href": f"/orgs/{self.org_id}/workloads/{self.id(number)}",
                    "hostname": f"host-{number}",
                    "labels": [{"href": f"/orgs/{self.org_id}/labels/{label}"}],
                    "interfaces": [
                        {"name": "eth0", "address": f"10.0.{number // 256}.{number % 256}"}
                    ],
                    "ven": {"href": f"/orgs/{self.org_id}/vens/{self.id(number)}"},
                    "online": True,
                    "enforcement_mode": "full",
                    "visibility_level": "flow_summary",
                }
                puts.append(Put("workloads", self.id(number), document))
                presence.append(
                    PresenceChange(uuid.UUID(int=number), create_at=NOW, token_hash=b"x" * 32)
                )
            hrefs = tuple(put.document["href"] for put in puts)
            change = PolicyChange("activate", hrefs)
            self.stores.objects.commit(
                Change(
                    self.org_id,
                    puts=tuple(puts),
                    presence=tuple(presence),
                    policy_changes=(change,),
                )
            )

    def edit(self, number: int, reason: str = "workload", **values: Any) -> None:
        """Change attributes of a workload."""
        stored = self.stores.objects.get(self.org_id, "workloads", self.id(number))
        assert stored is not None
        document = {**stored.document, **values}
        put = Put("workloads", stored.id, document, stored.rev)
        self._commit((put,), PolicyChange(reason, (document["href"],)))

    def move(self, number: int, address: str) -> None:
        """Another address."""
        self.edit(number, "interfaces", interfaces=[{"name": "eth0", "address": address}])

    def relabel(self, number: int, label: int) -> None:
        """Another label."""
        self.edit(number, labels=[{"href": f"/orgs/{self.org_id}/labels/{label}"}])

    def provision(self, *rules: tuple[Any, Any, int]) -> None:
        """One rule set with these rules: (provider, consumer, port); a side is a label's number or
        ``ams``."""

        def side(who: Any) -> list[dict[str, Any]]:
            if who == "ams":
                return [{"actors": "ams"}]
            return [{"label": {"href": f"/orgs/{self.org_id}/labels/{who}"}}]

        href = f"/orgs/{self.org_id}/sec_policy/draft/rule_sets/9"
        document = {
            "href": href,
            "enabled": True,
            "scopes": [[]],
            "rules": [
                {
                    "href": f"{href}/sec_rules/{number}",
                    "enabled": True,
                    "providers": side(provider),
                    "consumers": side(consumer),
                    "ingress_services": [{"proto": 6, "port": port}],
                    "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
                }
                for number, (provider, consumer, port) in enumerate(rules)
            ],
        }
        versions = self.stores.policy_versions
        head = versions.head(self.org_id)
        revision = str(uuid.uuid4())
        manifest = {**head.manifest, "rule_sets": {"9": revision}}
        manifest_id, chunks = versions.prepare(self.org_id, manifest, {revision: document})
        version = head.version + 1
        pointer = {"version": version, "manifest": manifest_id, "chunks": chunks}
        change = PolicyChange("provision", (f"/orgs/{self.org_id}/sec_policy/{version}",))
        self._commit((Put("sec_policy", HEAD, pointer, head.rev),), change)

    def compile(self, stores: Wiring | None = None, *, afresh: bool = False) -> Compiled:
        return compile_policy(self.org_id, stores or self.stores, time.time, afresh=afresh)

    def expected(self) -> dict[str, PolicyDocument]:
        """Every VEN's document, by the full recompute of what is stored."""
        objects = self.stores.objects
        read = {
            collection: [s.document for s in objects.all_of(self.org_id, collection)]
            for collection in (
                *("workloads", "labels", "service_bindings"),
                "discovered_virtual_servers",
            )
        }
        versions = self.stores.policy_versions
        head = versions.head(self.org_id)
        active = versions.documents(self.org_id, head.manifest, head.manifest)
        estate = estate_from_documents(
            read["workloads"],
            read["labels"],
            active,
            read["service_bindings"],
            read["discovered_virtual_servers"],
        )
        return recompute(estate).documents

    def assert_converged(self) -> None:
        """The change log is empty, and every VEN is given what the full recompute says."""
        assert not self.stores.objects.change_log(self.org_id)
        fresh = another_worker()
        rows = {str(row.ven_id): row for row in fresh.presence.all_of(self.org_id)}
        for id, document in self.expected().items():
            assert wanted_document(fresh, rows[id]) == document, id
        live = self.live_parts()
        assert self.needed_parts() <= live, "something that is needed is about to expire"

    def needed_parts(self) -> set[str]:
        """Names of everything from which the VENs' documents are put together."""
        fresh = another_worker()
        policies = fresh.policies
        head = policies.wide_head(self.org_id)
        managed = self.expected().keys()
        names = {
            row.target
            for row in fresh.presence.all_of(self.org_id)
            if row.target and str(row.ven_id) in managed
        }
        needed = set(names)
        versions: set[str] = set()
        for part in policies.parts(self.org_id, names, ClassPart).values():
            blocks = {version_name(id, head.parts[id].digest) for id in part.blocks}
            needed |= blocks
            read = policies.parts(self.org_id, blocks, Block)
            found = set_versions(part, read.values(), head)
            versions |= {version_name(id, digest) for id, digest in found.items()}
        return needed | versions | fresh.address_sets.bases_of(self.org_id, versions)

    def live_parts(self) -> set[str]:
        """Names of everything that is stored and does not expire."""
        pages = fake_aws().client("dynamodb").get_paginator("scan").paginate(TableName="policy")
        items = [item for page in pages for item in page["Items"]]
        keys = [item["pk"]["S"].split("#", 2) for item in items if "ttl" not in item]
        return {key[2] for key in keys if key[:2] == [str(self.org_id), "part"]}

    def _commit(self, puts: tuple[Put, ...], change: PolicyChange) -> None:
        self.stores.objects.commit(Change(self.org_id, puts=puts, policy_changes=(change,)))
