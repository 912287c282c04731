"""An org with hosts, labels and rules, for tests of questions about policy."""

from typing import Any

from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.usecases.activate_ven import activate_ven
from tests.fakes.api import Api
from ven_protocol.messages import Activate, HostFacts, Interface


class OrgEstate:
    """Makes objects through the API, and knows them by name."""

    def __init__(self, api: Api, stores: Wiring) -> None:
        self.api = api
        self.stores = stores
        self.org_id = OrgId(api.created["org_id"])
        [services] = api.get(f"{api.active}/services", name="All Services")
        self.all_services = {"href": services["href"].replace("/active/", "/draft/")}

    def label(self, key: str, value: str) -> dict[str, Any]:
        """A label as rules and workloads name it."""
        return {
            "href": self.api.post(f"{self.api.org}/labels", {"key": key, "value": value})["href"]
        }

    def host(self, name: str, *addresses: str, mode: str = "full", **labels: Any) -> str:
        """A workload with a VEN; returns its href. ``labels``: key to label."""
        interfaces = [
            Interface(name=f"eth{n}", address=address, cidr_block=64 if ":" in address else 24)
            for n, address in enumerate(addresses)
        ]
        activated = activate_ven(
            Activate(
                activation_code=self.api.created["activation_code"],
                host=HostFacts(hostname=name, version="25.2.0-1", os_id="debian-12"),
                interfaces=interfaces,
            ),
            self.stores,
            1_800_000_000,
        )
        self.api.put(
            activated.workload_href,
            {"enforcement_mode": mode, "labels": list(labels.values())},
        )
        self.publish()
        return activated.workload_href

    def unmanaged(self, name: str, *addresses: str, **labels: Any) -> str:
        """A workload without a VEN; returns its href."""
        interfaces = [{"name": f"eth{n}", "address": a} for n, a in enumerate(addresses)]
        body = {"name": name, "interfaces": interfaces, "labels": list(labels.values())}
        made = self.api.post(f"{self.api.org}/workloads", body)
        self.publish()
        return str(made["href"])

    def publish(self) -> None:
        """Bring the address directory up to date, as the next compile will."""
        read = {
            name: [s.document for s in self.stores.objects.all_of(self.org_id, name)]
            for name in ("workloads", "labels")
        }
        existing = [w for w in read["workloads"] if not w.get("deleted")]
        self.stores.directory.save(self.org_id, existing, read["labels"])

    def rule_set(self, name: str, *scopes: list[dict[str, Any]]) -> str:
        """The draft href of a rule set; no scopes: all of the org."""
        body = {"name": name, "scopes": list(scopes) or [[]]}
        return str(self.api.post(f"{self.api.draft}/rule_sets", body)["href"])

    def allow(self, rule_set: str, providers: Any, consumers: Any, **more: Any) -> str:
        """The draft href of an allow rule; for TCP 443 unless ``ingress_services`` says."""
        return self._rule(f"{rule_set}/sec_rules", providers, consumers, more)

    def deny(self, rule_set: str, providers: Any, consumers: Any, **more: Any) -> str:
        """The same for a deny rule."""
        return self._rule(f"{rule_set}/deny_rules", providers, consumers, more)

    def _rule(self, path: str, providers: Any, consumers: Any, more: dict[str, Any]) -> str:
        body = {
            "enabled": True,
            "providers": providers,
            "consumers": consumers,
            "ingress_services": [{"proto": 6, "port": 443}],
            **more,
        }
        return str(self.api.post(path, body)["href"])
