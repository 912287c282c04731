"""Reads an org through the models of PyPI's `illumio-py-open`; run by a Python that has it.

For each collection, each object in its list and each object by its href is decoded by the
collection's model. Prints JSON: what was read, `{name: number of objects}`, and what was wrong,
`[[name, href, why]]`: the model refused it, or dropped a value of an attribute that it has.

    PCE_URL=https://localhost:8443 PCE_ORG=1 PCE_KEY=... PCE_SECRET=... python read_with_py_open.py
"""

import json
import os
from dataclasses import fields
from urllib.parse import urlsplit

from illumio import PolicyComputeEngine
from illumio.util import PCE_APIS

NEED_A_PARENT = {
    "rules": "rule_sets",
    "deny_rules": "rule_sets",
    "container_workload_profiles": "container_clusters",
    "network_endpoints": "network_devices",
}


def main():
    address = urlsplit(os.environ["PCE_URL"])
    pce = PolicyComputeEngine(
        address.hostname, port=address.port, org_id=os.environ["PCE_ORG"], retry_count=0
    )
    pce.set_credentials(os.environ["PCE_KEY"], os.environ["PCE_SECRET"])
    read, wrong = {}, []
    for name, described in PCE_APIS.items():
        read[name] = 0
        for version in ("draft", "active") if described.is_sec_policy else ("draft",):
            for parent in parents(pce, name, wrong):
                decode(pce, name, version, parent, read, wrong)
    print(json.dumps({"read": read, "wrong": wrong}))


def parents(pce, name, wrong):
    """Objects below which the collection lies; [None] for one that lies in the org."""
    return getattr(pce, NEED_A_PARENT[name]).get() if name in NEED_A_PARENT else [None]


def decode(pce, name, version, parent, read, wrong):
    collection = getattr(pce, name)
    try:
        models = collection.get(policy_version=version, parent=parent)
        endpoint = collection._build_endpoint(version, parent)
        raw = pce.get(endpoint, include_org=False).json()
    except Exception as error:
        wrong.append([name, None, repr(error)])
        return
    if isinstance(raw, dict):
        models, raw = [models], [raw]
    if len(models) != len(raw):
        wrong.append([name, None, f"{len(models)} models of {len(raw)} objects"])
    for model, document in zip(models, raw, strict=False):
        read[name] += 1
        href = document.get("href")
        for dropped in dropped_by(model, document):
            wrong.append([name, href, f"{dropped} is dropped"])
        if href and len(raw) > 1:
            try:
                collection.get_by_reference(href)
            except Exception as error:
                wrong.append([name, href, repr(error)])


def dropped_by(model, document):
    """Attributes that the model has and the document fills, but the decoded object does not."""
    known = {field.name for field in fields(model)}
    return [
        name
        for name, value in document.items()
        if name in known and value not in (None, [], {}) and getattr(model, name) is None
    ]


if __name__ == "__main__":
    main()
