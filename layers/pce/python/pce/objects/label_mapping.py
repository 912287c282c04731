"""Which labels the label mapping rules give a workload, by what is known of it. Pure."""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]

HOSTNAME, OS, ADDRESS, PROCESS, PORT = "hostname", "os", "ip_address", "process", "port"
REPORTED = (PROCESS, PORT)
"""Properties that only the VEN's report of its services knows."""

COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "equals": lambda text, value: text == value,
    "starts_with": lambda text, value: text.startswith(value),
    "ends_with": lambda text, value: text.endswith(value),
    "contains": lambda text, value: value in text,
}
"""Of texts in lower case. There are no regular expressions: one could keep a worker busy for ever.
"""
TOGETHER: Mapping[str, Callable[[Iterable[bool]], bool]] = {"and": all, "or": any}


_PROTOCOLS = {6: "tcp", 17: "udp"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules look at."""

    texts: Mapping[str, Sequence[str]]
    """Property to its values in lower case; a port is ``443`` and ``443/tcp``."""
    addresses: Sequence[ipaddress.IPv4Address | ipaddress.IPv6Address] = ()


def facts_of(workload: Document, services: Document | None = None) -> Facts:
    """What is known of a workload as it is stored, and of what its VEN reported of services."""
    ports = (services or {}).get("open_ports") or ()
    processes = (services or {}).get("processes") or ()
    named = [*(one.get("process_name") for one in ports), *(one.get("name") for one in processes)]
    addresses = [one.get("address") for one in workload.get("interfaces") or ()]
    return Facts(
        {
            HOSTNAME: _lower(workload.get("hostname")),
            OS: _lower(workload.get("os_id"), workload.get("os_detail")),
            PROCESS: _lower(*named),
            PORT: [
                text
                for one in ports
                for text in (
                    str(one["port"]),
                    f"{one['port']}/{_PROTOCOLS.get(one['protocol'], one['protocol'])}",
                )
            ],
        },
        [ipaddress.ip_address(a) for a in (*addresses, workload.get("public_ip")) if a],
    )


def _lower(*texts: str | None) -> list[str]:
    return [text.lower() for text in texts if text]


def matches(expression: Document, facts: Facts) -> bool:
    """Whether a workload is meant: one of a condition's values suffices."""
    if "expressions" in expression:
        join = TOGETHER[expression["operator"]]
        return join(matches(inner, facts) for inner in expression["expressions"])
    values = expression["values"]
    if expression["property"] == ADDRESS:
        networks = [ipaddress.ip_network(value) for value in values]
        return any(address in network for address in facts.addresses for network in networks)
    compare = COMPARISONS[expression["operator"]]
    texts = facts.texts[expression["property"]]
    return any(compare(text, value.lower()) for text in texts for value in values)


def asks_services(expression: Document) -> bool:
    """Whether an expression looks at what only the report of services knows."""
    inner = expression.get("expressions")
    if inner is not None:
        return any(map(asks_services, inner))
    return expression["property"] in REPORTED


def labels_for(
    rules: Iterable[Document],
    facts: Facts,
    current: Iterable[str],
    keys: Mapping[str, str],
    *,
    overwrite: bool = False,
) -> list[str]:
    """Hrefs of the labels that a workload has after the rules: of each key the first rule that
    matches counts. A label that it has stays, unless ``overwrite``.

    ``rules`` in their order; ``keys``: key by href of the labels that exist. The same list as
    ``current`` when nothing is to be changed.
    """
    mapped: dict[str, str] = {}
    for rule in rules:
        if matches(rule["expression"], facts):
            for assignment in rule["label_assignments"]:
                href = assignment["label"]["href"]
                if href in keys:
                    mapped.setdefault(keys[href], href)
    before = list(current)
    had = {keys.get(href, href): href for href in before}
    after = had | mapped if overwrite else mapped | had
    return before if after == had else list(after.values())
