"""Drafts, revisions and hrefs of policy versions."""

import pytest

from pce.objects.hrefs import in_version, item_id, parse_href
from pce.objects.policy_version import (
    Draft,
    deleted_draft,
    freed_draft,
    new_draft,
    provisioned_form,
    references,
    shown_draft,
    shown_provisioned,
)

AT, BY = "2026-01-31T12:00:00.000Z", {"href": "/users/1"}


@pytest.mark.parametrize(
    ("revision", "deleted", "active", "update_type", "gone"),
    [
        ("r1", False, None, "create", False),
        ("r1", False, "r1", None, False),
        ("r2", False, "r1", "update", False),
        ("r2", True, "r1", "delete", False),
        ("r2", True, None, "delete", True),
    ],
)
def test_update_type_is_a_comparison(
    revision: str, deleted: bool, active: str | None, update_type: str | None, gone: bool
) -> None:
    """Of the draft's revision with the one that is active; nothing else is kept."""
    document = new_draft({"href": "x"}, revision)
    if deleted:
        document = deleted_draft(document, AT, BY, revision)
    draft = Draft("ip_lists", "1", document, active)
    assert (draft.update_type, draft.is_gone) == (update_type, gone)


def test_what_is_kept_for_ourselves_is_not_shown() -> None:
    """Revision and freed names are how drafts are stored, not what they are."""
    document = freed_draft(new_draft({"href": "x", "name": "n"}, "r1"), AT, BY, "r2")
    shown = shown_draft(Draft("ip_lists", "1", document, "r0"), None)
    assert shown == {
        "href": "x",
        "name": "n",
        "deleted_at": AT,
        "deleted_by": BY,
        "update_type": "delete",
    }


def test_provisioning_leaves_marked_rules_behind() -> None:
    """A revision holds the rules that are, in both lists."""
    kept, gone = {"href": "r/1", "deleted_at": None}, {"href": "r/2", "deleted_at": AT}
    draft = new_draft({"href": "x", "rules": [kept, gone], "deny_rules": [gone]}, "r1")
    assert provisioned_form(draft) == {
        "href": "x",
        "deleted_at": None,
        "deleted_by": None,
        "rules": [kept],
        "deny_rules": [],
    }


def test_references_are_those_to_other_objects() -> None:
    """Not the object's own href, its rules', or its authors'; not those of rules that go."""
    rule = {"href": "rule", "created_by": BY, "providers": [{"label": {"href": "label"}}]}
    document = {
        "href": "self",
        "updated_by": {"href": "/users/2"},
        "scopes": [[{"label_group": {"href": "group"}}], []],
        "rules": [
            {**rule, "ingress_services": [{"href": "service"}, {"port": 1, "proto": 6}]},
            {**rule, "deleted_at": AT, "consumers": [{"ip_list": {"href": "unused"}}]},
        ],
        "sub_groups": [{"href": "inner"}],
    }
    assert references(document) == {"group", "label", "service", "inner"}


def test_active_documents_refer_to_active_documents() -> None:
    """Every versioned href moves; labels and workloads have one href; nothing can be written."""
    draft = "/orgs/1/sec_policy/draft"
    document = {
        "href": f"{draft}/rule_sets/1",
        "rules": [
            {
                "href": f"{draft}/rule_sets/1/sec_rules/2",
                "providers": [
                    {"label": {"href": "/orgs/1/labels/3"}},
                    {"ip_list": {"href": f"{draft}/ip_lists/4"}},
                ],
            }
        ],
    }
    shown = shown_provisioned(document, "17")
    numbered = "/orgs/1/sec_policy/17"
    assert shown["href"] == f"{numbered}/rule_sets/1" and shown["caps"] == []
    [rule] = shown["rules"]
    assert rule["href"] == f"{numbered}/rule_sets/1/sec_rules/2"
    assert rule["providers"] == [
        {"label": {"href": "/orgs/1/labels/3"}},
        {"ip_list": {"href": f"{numbered}/ip_lists/4"}},
    ]
    assert in_version(shown, "draft")["rules"][0]["providers"] == document["rules"][0]["providers"]


@pytest.mark.parametrize(
    ("text", "collection", "id"),
    [
        ("/orgs/1/labels/7", "labels", "7"),
        ("/orgs/1/sec_policy/active/services/7", "services", "7"),
        ("/orgs/1/sec_policy/12/rule_sets/7", "rule_sets", "7"),
        ("/orgs/1/sec_policy/draft/firewall_settings", "firewall_settings", "firewall_settings"),
        ("/orgs/1/services/7", None, None),
        ("/orgs/1/sec_policy/draft/labels/7", None, None),
        ("/orgs/x/labels/7", None, None),
        ("/orgs/1/labels/7/8", None, None),
        ("https://pce/orgs/1/labels/7", None, None),
        ("/orgs/1/labels/../workloads", None, None),
    ],
)
def test_hrefs_are_taken_apart(text: str, collection: str | None, id: str | None) -> None:
    """Only those of objects that lie in a collection, in the version that they can have."""
    parsed = parse_href(text)
    assert (parsed.collection, parsed.id) == (collection, id) if parsed else collection is None


def test_moving_between_versions_keeps_the_object() -> None:
    """Also of the singleton, which has no id."""
    for tail in ("ip_lists/7", "firewall_settings"):
        parsed = parse_href(f"/orgs/1/sec_policy/draft/{tail}")
        assert parsed is not None
        assert parsed.in_version("active") == f"/orgs/1/sec_policy/active/{tail}"


def test_numbers_sort_by_size() -> None:
    """Stored ids of numbered objects are padded; UUIDs and long numbers are left alone."""
    assert sorted(map(item_id, ("10", "9"))) == ["000000000009", "000000000010"]
    assert item_id("0" * 13) == "0" * 13
