"""Labels, label dimensions and label groups."""

from typing import Any

import pytest

from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from tests.fakes.api import Api


def label(api: Api, key: str = "role", value: str = "web", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.post(f"{api.org}/labels", {"key": key, "value": value, **more})
    return made


def test_a_label_is_read_as_it_was_made(api: Api) -> None:
    """201 with the whole object; the same by its href and in the list."""
    made = label(api, external_data_set="cmdb", external_data_reference="1")
    assert (made["key"], made["value"], made["deleted"]) == ("role", "web", False)
    assert made["created_by"] == {"href": api.get("/users")[0]["href"]}
    assert api.get(made["href"]) == api.get(f"{api.org}/labels")[0] == made


def test_the_compiler_is_told_of_a_new_label(api: Api, stores: Wiring) -> None:
    """Before anybody has it: a compiler that keeps what it knows reads only what it is told of."""
    href = label(api)["href"]
    log = stores.objects.change_log(OrgId(api.created["org_id"]))
    assert [entry.hrefs for entry in log if entry.reason == "labels"] == [(href,)]


def test_ids_count_up_from_one(api: Api) -> None:
    """Hrefs of labels end in whole numbers, and lists are in their order."""
    hrefs = [label(api, value=f"v{number}")["href"] for number in range(11)]
    assert hrefs == [f"{api.org}/labels/{number}" for number in range(1, 12)]
    assert [found["href"] for found in api.get(f"{api.org}/labels")] == hrefs


def test_the_key_must_be_a_dimension(api: Api) -> None:
    """Unknown keys are 406 and named; a key of one's own works once its dimension exists."""
    answer = api.call("POST", f"{api.org}/labels", {"key": "os", "value": "linux"})
    assert (answer.status, answer.tokens) == (406, ["unknown_label_key"])
    api.post(f"{api.org}/label_dimensions", {"key": "os", "display_name": "OS"})
    assert label(api, "os", "linux")["key"] == "os"


def test_a_label_exists_once(api: Api) -> None:
    """A second label of the same key and value is 406; of another key it is not."""
    first = label(api)
    again = api.call("POST", f"{api.org}/labels", {"key": "role", "value": "web"})
    assert (again.status, again.tokens) == (406, ["label_not_unique"])
    label(api, "app", "web")
    other = label(api, "role", "db")
    assert api.call("PUT", other["href"], {"value": "web"}).tokens == ["label_not_unique"]
    assert api.get(other["href"])["value"] == "db"
    api.delete(first["href"])
    api.put(other["href"], {"value": "web"})


def test_the_key_never_changes(api: Api) -> None:
    """A PUT may repeat the key, as clients do that send whole objects, but not change it."""
    made = label(api)
    api.put(made["href"], {**made, "value": "front"})
    assert api.call("PUT", made["href"], {"key": "app"}).tokens == ["label_key_immutable"]
    assert api.get(made["href"])["value"] == "front"


def test_a_deleted_label_stays_readable(api: Api) -> None:
    """By its href with ``deleted: true``, and in lists that ask for deleted ones; a second deletion
    says so with a token that clients take for success."""
    href = label(api)["href"]
    api.delete(href)
    assert api.get(href)["deleted"] is True
    assert api.get(f"{api.org}/labels") == []
    assert [found["href"] for found in api.get(f"{api.org}/labels", include_deleted="yes")] == [
        href
    ]
    again = api.call("DELETE", href)
    assert (again.status, again.tokens) == (406, ["label_already_deleted"])
    assert label(api)["href"] != href


def test_half_of_the_external_data_is_refused(api: Api) -> None:
    """The pair is given whole or not at all, and belongs to one label."""
    body = {"key": "role", "value": "x", "external_data_set": "cmdb"}
    assert api.call("POST", f"{api.org}/labels", body).tokens == ["external_data_incomplete"]
    label(api, value="a", external_data_set="cmdb", external_data_reference="1")
    same = {**body, "external_data_reference": "1"}
    assert api.call("POST", f"{api.org}/labels", same).tokens == ["label_not_unique"]


@pytest.mark.parametrize("used_by", ["workload", "pairing_profile", "ruleset", "label_group"])
def test_a_label_in_use_stays(api: Api, used_by: str) -> None:
    """The refusal names the user, and ``usage=true`` shows the kind; without it the label goes."""
    href = label(api)["href"]
    reference = [{"href": href}]
    user = {
        "workload": lambda: api.post(f"{api.org}/workloads", {"name": "w", "labels": reference}),
        "pairing_profile": lambda: api.post(
            f"{api.org}/pairing_profiles", {"name": "p", "enabled": True, "labels": reference}
        ),
        "ruleset": lambda: api.post(
            f"{api.draft}/rule_sets", {"name": "r", "scopes": [[{"label": {"href": href}}]]}
        ),
        "label_group": lambda: api.post(
            f"{api.draft}/label_groups", {"name": "g", "key": "role", "labels": reference}
        ),
    }[used_by]()
    refused = api.call("DELETE", href)
    assert refused.tokens == ["label_in_use"] and user["href"] in refused.json[0]["message"]
    [shown] = api.get(f"{api.org}/labels", usage="true")
    assert [kind for kind, used in shown["usage"].items() if used] == [used_by]
    api.delete(user["href"])
    api.delete(href)


def test_a_label_in_active_policy_stays(api: Api) -> None:
    """Labels act at once, so what is active counts even when no draft uses it any more."""
    href = label(api)["href"]
    scoped = {"name": "r", "scopes": [[{"label": {"href": href}}]]}
    rule_set = api.post(f"{api.draft}/rule_sets", scoped)
    api.provision()
    api.put(rule_set["href"], {"scopes": [[]]})
    assert api.call("DELETE", href).tokens == ["label_in_use"]
    api.provision()
    api.delete(href)


def test_changes_are_events_with_before_and_after(api: Api) -> None:
    """Each change is one event: by whom, through which call, and what changed."""
    made = label(api)
    api.put(made["href"], {"value": "front"})
    api.delete(made["href"])
    created, updated, deleted = (
        next(iter(api.events(f"label.{verb}"))) for verb in ("create", "update", "delete")
    )
    assert created["created_by"]["user"]["href"] == api.get("/users")[0]["href"]
    assert created["action"]["api_endpoint"] == f"/api/v2{api.org}/labels"
    assert [e["action"]["http_status_code"] for e in (created, updated, deleted)] == [201, 204, 204]
    [change] = updated["resource_changes"]
    assert change["changes"] == {"value": {"before": "web", "after": "front"}}
    assert change["resource"]["label"]["href"] == made["href"]
    assert deleted["resource_changes"][0]["change_type"] == "delete"


def test_the_factory_dimensions(api: Api) -> None:
    """role, app, env and loc exist, with what clients index."""
    dimensions = api.get(f"{api.org}/label_dimensions")
    assert {d["key"] for d in dimensions} == {"role", "app", "env", "loc"}
    assert all(d["display_name"] and d["display_info"]["initial"] for d in dimensions)


def test_how_a_label_type_is_displayed(api: Api) -> None:
    """Where nothing was said there is nothing; else the initial has a default."""
    path = f"{api.org}/label_dimensions"
    made = api.post(path, {"key": "os", "display_name": "OS"})
    assert "display_info" not in made
    api.put(made["href"], {"display_info": {"icon": "penguin"}})
    assert api.get(made["href"])["display_info"] == {"initial": "O", "icon": "penguin"}


def test_a_dimension_with_labels_stays(api: Api) -> None:
    """It goes once its labels are deleted, and stays readable then."""
    made = api.post(f"{api.org}/label_dimensions", {"key": "os", "display_name": "OS"})
    label_href = label(api, "os", "linux")["href"]
    assert api.call("DELETE", made["href"]).tokens == ["label_dimension_in_use"]
    assert api.get(made["href"])["usage"]["labels"] is True
    api.delete(label_href)
    api.delete(made["href"])
    assert api.get(made["href"])["deleted"] is True
    assert api.call("POST", f"{api.org}/labels", {"key": "os", "value": "x"}).status == 406


def test_groups_hold_labels_of_their_key(api: Api) -> None:
    """Members show key and value, sub-groups their name; other keys and the group itself are
    refused."""
    web, shop = label(api)["href"], label(api, "app", "shop")["href"]
    inner = api.post(
        f"{api.draft}/label_groups", {"name": "inner", "key": "role", "labels": [{"href": web}]}
    )
    assert inner["labels"] == [{"href": web, "key": "role", "value": "web"}]
    outer = api.post(
        f"{api.draft}/label_groups",
        {"name": "outer", "key": "role", "sub_groups": [{"href": inner["href"]}]},
    )
    assert outer["sub_groups"] == [{"href": inner["href"], "name": "inner"}]
    assert outer["labels"] == []
    wrong = api.call("PUT", outer["href"], {"labels": [{"href": shop}]})
    assert wrong.tokens == ["label_group_key_mismatch"]
    itself = api.call("PUT", outer["href"], {"sub_groups": [{"href": outer["href"]}]})
    assert itself.tokens == ["label_group_cycle"]
    assert [g["href"] for g in api.get(f"{inner['href']}/member_of")] == [outer["href"]]
    assert api.get(f"{outer['href']}/member_of") == []
    assert [m["href"] for m in api.get(f"{outer['href']}/all_labels")] == [web]


def test_a_label_type_may_be_called_as_its_key_is(api: Api) -> None:
    """Key and display name are two kinds of names: each is unique among its own."""
    path = f"{api.org}/label_dimensions"
    made = api.post(path, {"key": "os", "display_name": "os"})
    api.post(path, {"key": "bu", "display_name": "role"})  # which is another type's key
    for taken in ({"key": "os", "display_name": "x"}, {"key": "x", "display_name": "os"}):
        assert api.call("POST", path, taken).tokens == ["label_dimension_not_unique"]
    api.put(made["href"], {"display_name": "Systems"})
    api.post(path, {"key": "x", "display_name": "os"})
