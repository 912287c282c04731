"""The policy document as VENs receive it, from the management API's documents to the bytes.

Ids and etags are compared with fixed values: when they change without a reason, every VEN of every
org fetches its policy again on the day of the upgrade.
"""

import msgspec
import pytest

from pce.policy.estate_from_documents import estate_from_documents
from pce.policy.recompute import Recomputed, recompute
from ven_protocol.policy import (
    DeltaMismatch,
    PolicyReply,
    apply_delta,
    policy_delta,
    policy_digest,
)

O, A = "/orgs/1", "/orgs/1/sec_policy/active"  # noqa: E741
WEB_HOST, DB_HOST = "00000000-0000-7000-8000-00000000000a", "00000000-0000-7000-8000-00000000000b"


EXPECTED_WEB = {
    "version": 1,
    "mode": "full",
    "firewall": {
        "ipv6": "by_policy",
        "reject_blocked": False,
        "allow_dhcp_client": True,
        "allow_traceroute": True,
        "allow_igmp": True,
        "order": "first",
        "containers": "untouched",
        "updates": "adaptive",
    },
    "visibility": "flow_summary",
    "sets": {
        "i299125130094168": ["0.0.0.0-203.0.112.255", "203.0.114.0-255.255.255.255"],
        "w9b5d87077a8ac30": ["10.0.0.11"],
    },
    "names": {},
    "not_enforced": [],
    "rules": [
        {
            "id": "rule_sets/1/sec_rules/1/out",
            "direction": "out",
            "action": "allow",
            "peers": ["w9b5d87077a8ac30"],
            "services": [{"proto": 6, "port": 5432}],
        },
        {
            "id": "rule_sets/1/sec_rules/2/in",
            "direction": "in",
            "action": "allow",
            "peers": ["i299125130094168"],
            "services": [{"proto": 6, "port": 443}],
        },
    ],
}
EXPECTED_ETAGS = {
    WEB_HOST: "b28e03e447af8631c8853df51b92cda8",
    DB_HOST: "55276f82c9fb1219b1d9b494b773ef20",
}


def provisioned(web_address: str = "10.0.0.10", db_online: bool = True) -> Recomputed:
    """web may reach db on 5432, and anybody may reach web on 443 but one subnet."""
    labels = [
        {"href": f"{O}/labels/1", "key": "role", "value": "web"},
        {"href": f"{O}/labels/2", "key": "role", "value": "db"},
    ]
    workloads = [
        _workload(WEB_HOST, web_address, "1", True),
        _workload(DB_HOST, "10.0.0.11", "2", db_online),
    ]
    active = {
        "ip_lists": [
            {
                "href": f"{A}/ip_lists/1",
                "name": "clients",
                "ip_ranges": [
                    {"from_ip": "0.0.0.0/0"},
                    {"from_ip": "203.0.113.0/24", "exclusion": True},
                ],
            }
        ],
        "services": [
            {"href": f"{A}/services/1", "name": "db", "service_ports": [{"proto": 6, "port": 5432}]}
        ],
        "rule_sets": [
            {
                "href": f"{A}/rule_sets/1",
                "enabled": True,
                "scopes": [[]],
                "rules": [
                    _rule(1, [_label(2)], [_label(1)], [{"href": f"{A}/services/1"}]),
                    _rule(
                        2,
                        [_label(1)],
                        [{"ip_list": {"href": f"{A}/ip_lists/1"}}],
                        [{"proto": 6, "port": 443}],
                    ),
                ],
                "deny_rules": [],
            }
        ],
    }
    return recompute(estate_from_documents(workloads, labels, active))


def _workload(workload_id, address, label_id, online):
    return {
        "href": f"{O}/workloads/{workload_id}",
        "ven": {"href": f"{O}/vens/{workload_id}"},
        "online": online,
        "enforcement_mode": "full",
        "labels": [{"href": f"{O}/labels/{label_id}"}],
        "interfaces": [{"name": "eth0", "address": address}],
    }


def _label(label_id):
    return {"label": {"href": f"{O}/labels/{label_id}"}}


def _rule(number, providers, consumers, services):
    return {
        "href": f"{A}/rule_sets/1/sec_rules/{number}",
        "enabled": True,
        "providers": providers,
        "consumers": consumers,
        "ingress_services": services,
        "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        "unscoped_consumers": False,
    }


def test_the_document_of_a_web_server():
    """Exactly these fields, sets and rules: VENs of other makers read this."""
    document = msgspec.to_builtins(provisioned().documents[WEB_HOST])
    assert document == EXPECTED_WEB


def test_the_database_sees_the_other_end():
    """The same rule, as ``in``, over the consumers' set."""
    document = provisioned().documents[DB_HOST]
    (rule,) = document.rules
    assert (rule.id, rule.direction) == ("rule_sets/1/sec_rules/1/in", "in")
    assert document.sets[rule.peers[0]] == ["10.0.0.10"]


def test_etags_are_what_they_were():
    """Pinned: the etag is SHA-256 over canonical JSON, and nothing in it depends on chance."""
    assert provisioned().etags() == EXPECTED_ETAGS


def test_a_peer_that_goes_offline_is_a_delta_of_one_member():
    """No rule moves; the set stays, empty; and the delta fits no other document."""
    before = provisioned().documents[WEB_HOST]
    result = provisioned(db_online=False)
    after, etag = result.documents[WEB_HOST], result.etags()[WEB_HOST]
    delta = policy_delta(before, after)
    assert delta.rules is None
    assert delta.dropped_sets == []
    assert [(change.added, change.removed) for change in delta.sets.values()] == [
        ([], ["10.0.0.11"])
    ]
    assert apply_delta(before, delta, etag) == after
    with pytest.raises(DeltaMismatch):
        apply_delta(provisioned("10.0.0.12").documents[DB_HOST], delta, etag)


def test_a_reply_survives_the_wire():
    """Document and delta decode to what was encoded."""
    document = provisioned().documents[WEB_HOST]
    reply = PolicyReply(etag="e", digest=policy_digest(document), document=document)
    assert msgspec.json.decode(msgspec.json.encode(reply), type=PolicyReply) == reply
