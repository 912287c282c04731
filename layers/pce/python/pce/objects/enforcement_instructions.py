"""Enforcement instructions of a network device: what its ports should let through, as JSON. Pure.

The PCE does not write access lists in the languages of switches: it says, for each workload behind
each port, what a VEN there would enforce, in terms that a script can translate.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pce.objects.hrefs import ACTIVE
from pce.objects.network_device import RULES_FORMAT
from ven_protocol.policy import PolicyDocument, Rule

Document = Mapping[str, Any]

_PRECEDENCE = {"override_deny": 0, "allow": 1, "deny": 2}
_DIRECTIONS = {"in": "inbound", "out": "outbound"}
_BLOCKING = ("selective", "full")
"""Modes in which deny rules block."""


class Instructions:
    """Collects what the ports of one device should do. Address sets are said once for all."""

    def __init__(self, device: Document, policy_version: int, at: str) -> None:
        self._device = device
        self._org = str(device["href"]).split("/", 3)[2]
        self._version = policy_version
        self._at = at
        self._sets: dict[str, dict[str, list[str]]] = {}
        self._endpoints: list[dict[str, Any]] = []

    def add(
        self, endpoint: Document, workloads: Iterable[tuple[Document, list[str], PolicyDocument]]
    ) -> None:
        """One port, and the workloads behind it: document, addresses, policy."""
        shown = [self._workload(*each) for each in workloads]
        self._endpoints.append(
            {
                "href": endpoint["href"],
                "name": endpoint["name"],
                "endpoint_type": endpoint["endpoint_type"],
                "workloads": shown,
            }
        )

    def whole(self) -> dict[str, Any]:
        """All of it, ready to be sent."""
        return {
            "network_device": {"href": self._device["href"], "name": self._device["name"]},
            "rules_format": RULES_FORMAT,
            "generated_at": self._at,
            "policy_version": self._version,
            "address_sets": dict(sorted(self._sets.items())),
            "network_endpoints": self._endpoints,
        }

    def _workload(
        self, workload: Document, addresses: list[str], policy: PolicyDocument
    ) -> dict[str, Any]:
        rules = [
            rule for rule in policy.rules if rule.action == "allow" or policy.mode in _BLOCKING
        ]
        for set_id in sorted({set_id for rule in rules for set_id in rule.peers}):
            names = policy.names.get(set_id, [])
            self._sets[set_id] = {"addresses": list(policy.sets[set_id]), "fqdns": list(names)}
        return {
            "href": workload["href"],
            "name": workload.get("name"),
            "hostname": workload.get("hostname"),
            "addresses": addresses,
            "enforcement_mode": policy.mode,
            "default_action": "block" if policy.mode == "full" else "allow",
            "rules": [
                self._rule(rule) for rule in sorted(rules, key=lambda r: _PRECEDENCE[r.action])
            ],
        }

    def _rule(self, rule: Rule) -> dict[str, Any]:
        """A line of a document; its id begins with what stands behind the version in the rule's
        href, ``rule_sets/3/sec_rules/12`` or ``enforcement_boundaries/7``."""
        parts = rule.id.split("/")[: 2 if rule.id.startswith("enforcement_boundaries/") else 4]
        return {
            "href": f"/orgs/{self._org}/sec_policy/{ACTIVE}/{'/'.join(parts)}",
            "action": "allow" if rule.action == "allow" else "block",
            "direction": _DIRECTIONS[rule.direction],
            "services": [msgspec.to_builtins(service) for service in rule.services],
            "peers": list(rule.peers),
        }
