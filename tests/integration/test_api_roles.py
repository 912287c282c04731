"""Who may do what: every role against every endpoint, and scoped roles against their scopes."""

import re
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from functions.org_create.handler import handler as org_create
from pce.access.roles import ROLES
from pce.errors import Invalid, NotFound
from pce.identifiers import OrgId
from pce.runtime import api_answer, api_gate
from pce.runtime.api_access import right_to
from pce.runtime.api_routes import ENDPOINTS
from pce.runtime.http import json_reply
from pce.runtime.wiring import Wiring
from pce.store.change import Change, Delete
from pce.usecases.authenticate import authenticate
from tests.fakes.api import Api, new_org
from tests.fakes.pairing import pair
from tests.fakes.people import member, permit

LIST = {"name": "l", "ip_ranges": [{"from_ip": "192.0.2.0/24"}]}
CALLS = [(method, path) for method, path, _ in ENDPOINTS]


@pytest.fixture(scope="module")
def owner(stores: Wiring) -> Api:
    return new_org("Roles")


@pytest.fixture(scope="module", params=["", *ROLES])
def somebody(request: pytest.FixtureRequest, owner: Api, stores: Wiring) -> tuple[str, Api]:
    """A user with one role for the whole org, or with none."""
    return request.param, member(owner, stores, request.param)


def test_every_endpoint_lets_in_whom_the_table_names(
    owner: Api, somebody: tuple[str, Api], stores: Wiring
) -> None:
    """A real call of each endpoint, of objects that do not exist: all that the table does not name
    hear 403 before anything is looked at. For the owner, who is let in everywhere, endpoints do
    their work and answer 404, 406 or better; for the others they only say that they were reached.
    Who somebody is is read once.
    """
    role, api = somebody
    values = {"org": owner.org[6:], "version": "draft", "number": "999999"}
    identity = authenticate(api.auth, stores, int(time.time()))
    answered = api_answer._answered if role == "owner" else lambda call, route: json_reply(200)
    wrong = []
    with (
        mock.patch.object(api_answer, "_answered", answered),
        mock.patch.object(api_gate, "authenticate", lambda *given: identity),
        mock.patch.object(api_gate, "record_refusal"),
    ):
        for method, path in CALLS:
            wrong += _wrong(api, role, method, path, values)
    assert not wrong, "\n".join(wrong)


def _wrong(api: Api, role: str, method: str, path: str, values: dict[str, str]) -> Iterator[str]:
    if path.startswith("/login_users/users/"):
        return  # takes a password, not a key: test_api_users.py
    right = right_to(method, path)
    named = re.sub(r"\{(\w+)\}", lambda m: values.get(m[1], "999999"), path)
    answer = api.call(method, named, {"name": ""} if method == "POST" else [])
    refused = answer.status == 403 and answer.tokens == ["forbidden"]
    if refused == (right.anybody or role in right.roles) or answer.status >= 500:
        yield f"{method} {path}: {role or 'no role'} got {answer.status}"


def test_a_user_reaches_what_is_theirs(owner: Api, stores: Wiring) -> None:
    """Without any role a user sees themselves and their keys, and nobody else's."""
    api = member(owner, stores)
    me, other = api.created["user"]["href"], owner.get("/users")[0]["href"]
    assert api.get(me)["href"] == me
    assert len(api.get(f"{me}/api_keys")) == 1
    assert api.call("GET", f"{other}/api_keys").status == 403
    assert owner.call("POST", f"{me}/api_keys", {"name": "x"}).status == 403


def test_a_permission_holds_from_the_next_request_on_and_no_longer(
    owner: Api, stores: Wiring
) -> None:
    """Keys may what their owner may at that time."""
    api = member(owner, stores)
    assert api.call("GET", f"{owner.org}/labels").status == 403
    permission = permit(owner, api.created["user"]["username"], "read_only")
    assert api.call("GET", f"{owner.org}/labels").status == 200
    assert api.call("POST", f"{owner.org}/labels", {"key": "role", "value": "x"}).status == 403
    owner.put(permission["href"], {"role": {"href": f"{owner.org}/roles/admin"}})
    assert api.call("POST", f"{owner.org}/labels", {"key": "role", "value": "x"}).status == 201
    owner.delete(permission["href"])
    assert api.call("GET", f"{owner.org}/labels").status == 403


def test_a_permission_moves_with_its_principal(owner: Api, stores: Wiring) -> None:
    """Given to somebody else, it is gone where it was."""
    one, other = member(owner, stores, "admin"), member(owner, stores)
    name = one.created["user"]["username"]
    [principal] = owner.get(f"{owner.org}/auth_security_principals", name=name)
    [permission] = owner.get(f"{owner.org}/permissions", auth_security_principal=principal["href"])
    there = permit(owner, other.created["user"]["username"], "read_only")
    target = there["auth_security_principal"]
    owner.put(permission["href"], {"auth_security_principal": target})
    assert one.call("GET", f"{owner.org}/labels").status == 403
    assert other.call("POST", f"{owner.org}/labels", {"key": "role", "value": "y"}).status == 201
    in_use = owner.call("DELETE", target["href"])
    assert (in_use.status, in_use.tokens) == (406, ["auth_security_principal_in_use"])


def test_an_org_keeps_an_owner(api: Api, stores: Wiring) -> None:
    """The last permission that makes a user the owner stays; the last but one may go."""
    [first] = api.get(f"{api.org}/permissions")
    for answer in (
        api.call("DELETE", first["href"]),
        api.call("PUT", first["href"], {"role": {"href": f"{api.org}/roles/admin"}}),
    ):
        assert (answer.status, answer.tokens) == (406, ["last_owner"])
    second = member(api, stores, "owner")
    second.delete(first["href"])
    assert api.call("GET", f"{api.org}/labels").status == 403


def test_the_operator_gives_an_org_an_owner_again(stores: Wiring) -> None:
    """An org from before there were roles: nobody has one, its first user gets it by the operator's
    word, with an event; asking again changes nothing. Names of other orgs' users are refused."""
    api = new_org("Old")
    org_id = OrgId(int(api.created["org_id"]))
    name = f"admin@{org_id}.invalid"
    kinds = ("permissions", "auth_security_principals", f"grants#user:{name}")
    gone = tuple(
        Delete(kind, one.id, one.rev)
        for kind in kinds
        for one in stores.objects.all_of(org_id, kind)
    )
    free = (f"auth_security_principals#user#{name}",)
    stores.objects.commit(Change(org_id, deletes=gone, releases=free))
    assert api.call("GET", f"{api.org}/labels").tokens == ["forbidden"]
    given = org_create({"org_id": org_id}, None)
    assert given["username"] == name
    assert api.get(given["permission_href"])["role"]["href"] == f"{api.org}/roles/owner"
    [event] = api.events("permission.create")
    assert event["created_by"] == {"system": {}}
    assert org_create({"org_id": org_id}, None) == given
    other = member(api, stores).created["user"]["username"]
    assert org_create({"org_id": org_id, "owner": other}, None)["username"] == other
    for nobody in ({"org_id": org_id, "owner": "stranger@example.com"}, {"org_id": "1"}):
        with pytest.raises(Invalid):
            org_create(nobody, None)
    with pytest.raises(NotFound):
        org_create({"org_id": 999_999}, None)


def test_permissions_that_make_no_sense(owner: Api, stores: Wiring) -> None:
    """Unknown roles, roles of other orgs, and scopes of roles that have none are 406."""
    scope = [{"label": {"href": _label(owner, "role", "sense")["href"]}}]
    [principal] = owner.get(f"{owner.org}/auth_security_principals", max_results="1")

    def status(role: str, scope: Any = ()) -> int:
        body = {
            "role": {"href": role},
            "scope": list(scope),
            "auth_security_principal": {"href": principal["href"]},
        }
        return owner.call("POST", f"{owner.org}/permissions", body).status

    assert status(f"{owner.org}/roles/god") == 406
    assert status("/orgs/999/roles/owner") == 406
    assert status(f"{owner.org}/roles/owner", scope) == 406
    assert status(f"{owner.org}/roles/ruleset_manager", [{**scope[0], "exclusion": True}]) == 406


# Scopes


def _label(api: Api, key: str, value: str) -> dict[str, Any]:
    found = api.get(f"{api.org}/labels", key=key, value=value)
    return found[0] if found else api.post(f"{api.org}/labels", {"key": key, "value": value})


def _scoped(owner: Api, stores: Wiring, role: str, *labels: dict[str, Any]) -> Api:
    return member(owner, stores, role, [{"label": {"href": label["href"]}} for label in labels])


class Estate:
    """Two applications of one org, each with a workload and a rule set."""

    def __init__(self, stores: Wiring) -> None:
        self.stores = stores
        self.owner = new_org("Scopes")
        self.shop, self.bank = (_label(self.owner, "app", name) for name in ("shop", "bank"))
        self.web = _label(self.owner, "role", "web")
        self.prod = _label(self.owner, "env", "prod")
        self.services = self.owner.get(f"{self.owner.draft}/services")

    def workload(self, *labels: dict[str, Any]) -> dict[str, Any]:
        refs = [{"href": label["href"]} for label in labels]
        return self.owner.post(f"{self.owner.org}/workloads", {"labels": refs, "name": "w"})

    def rule_set(self, name: str, *rows: Any) -> dict[str, Any]:
        scopes = [[{"label": {"href": label["href"]}} for label in row] for row in rows]
        return self.owner.post(
            f"{self.owner.draft}/rule_sets", {"name": name, "scopes": scopes or [[]]}
        )


@pytest.fixture(scope="module")
def estate(stores: Wiring) -> Estate:
    return Estate(stores)


def _outside(answer: Any) -> bool:
    return (answer.status, answer.tokens) == (403, ["outside_scope"])


def test_a_workload_manager_edits_workloads_of_their_scope(estate: Estate) -> None:
    """Nothing enters the scope, leaves it, or is touched outside; not in bulk either."""
    owner, org = estate.owner, estate.owner.org
    api = _scoped(owner, estate.stores, "workload_manager", estate.shop)
    mine, other = estate.workload(estate.shop, estate.web), estate.workload(estate.bank)
    shop, bank = ([{"href": label["href"]}] for label in (estate.shop, estate.bank))
    api.put(mine["href"], {"description": "mine"})
    assert api.call("POST", f"{org}/workloads", {"name": "n", "labels": shop}).status == 201
    assert _outside(api.call("PUT", other["href"], {"description": "theirs"}))
    assert _outside(api.call("DELETE", other["href"]))
    assert _outside(api.call("PUT", mine["href"], {"labels": bank}))
    assert _outside(api.call("PUT", other["href"], {"labels": shop}))
    assert _outside(api.call("POST", f"{org}/workloads", {"name": "n", "labels": bank}))
    assert _outside(api.call("POST", f"{org}/workloads", {"name": "n"}))
    bulk = [{"href": w["href"], "description": "bulk"} for w in (mine, other)]
    results = api.put(f"{org}/workloads/bulk_update", bulk, 200)
    assert [r.get("token", r["status"]) for r in results] == ["updated", "outside_scope"]
    results = api.put(f"{org}/workloads/bulk_delete", [{"href": other["href"]}], 200)
    assert results[0]["errors"][0]["token"] == "outside_scope"
    [made, refused] = api.put(
        f"{org}/workloads/bulk_create", [{"name": "a", "labels": shop}, {"name": "b"}], 200
    )
    assert (made["status"], refused["token"]) == ("created", "outside_scope")
    assert owner.get(other["href"])["description"] is None


def test_a_workload_manager_pairs_into_their_scope(estate: Estate) -> None:
    """Pairing profiles must give labels of the scope; codes of others are not theirs."""
    owner, org = estate.owner, estate.owner.org
    api = _scoped(owner, estate.stores, "workload_manager", estate.shop)
    shop = [{"href": estate.shop["href"]}]
    mine = api.post(f"{org}/pairing_profiles", {"name": "shop", "enabled": True, "labels": shop})
    api.post(f"{mine['href']}/pairing_key")
    default = owner.get(f"{org}/pairing_profiles", name="Default")[0]["href"]
    assert _outside(api.call("POST", f"{default}/pairing_key", {}))
    assert _outside(api.call("DELETE", f"{default}/pairing_keys"))
    assert _outside(api.call("PUT", mine["href"], {"labels": []}))


def test_a_ruleset_manager_edits_rule_sets_of_their_scope(estate: Estate) -> None:
    """A rule set lies inside when every row of its scopes does; rules go with their rule set."""
    owner, draft = estate.owner, estate.owner.draft
    api = _scoped(owner, estate.stores, "ruleset_manager", estate.shop)
    mine = estate.rule_set("in", [estate.shop], [estate.shop, estate.prod])
    others = [
        estate.rule_set("else", [estate.bank]),
        estate.rule_set("partly", [estate.shop], [estate.bank]),
        estate.rule_set("everything"),
    ]
    rule = {
        "providers": [{"actors": "ams"}],
        "consumers": [{"actors": "ams"}],
        "ingress_services": [{"proto": 6, "port": 443}],
    }
    api.put(mine["href"], {"description": "mine"})
    made = api.post(f"{mine['href']}/sec_rules", rule)
    api.put(made["href"], {"enabled": False})
    for other in others:
        theirs = owner.post(f"{other['href']}/sec_rules", rule)
        assert _outside(api.call("PUT", other["href"], {"description": "theirs"}))
        assert _outside(api.call("DELETE", other["href"]))
        assert _outside(api.call("POST", f"{other['href']}/sec_rules", rule))
        assert _outside(api.call("PUT", theirs["href"], {"enabled": False}))
        assert _outside(api.call("DELETE", theirs["href"]))
    widened = [[{"label": {"href": estate.bank["href"]}}]]
    assert _outside(api.call("PUT", mine["href"], {"scopes": widened}))
    named = {"name": "new", "scopes": [[]]}
    assert _outside(api.call("POST", f"{draft}/rule_sets", named))


def test_a_rule_cannot_reach_out_of_the_scope(estate: Estate) -> None:
    """Consumers anywhere and addresses as providers would be a rule for every host of the org."""
    api = _scoped(estate.owner, estate.stores, "ruleset_manager", estate.shop)
    mine = estate.rule_set("reach", [estate.shop])
    [anywhere] = estate.owner.get(f"{estate.owner.draft}/ip_lists")
    rule = {
        "providers": [{"ip_list": {"href": anywhere["href"]}}],
        "consumers": [{"actors": "ams"}],
        "ingress_services": [{"proto": 6, "port": 443}],
    }
    unscoped = {**rule, "unscoped_consumers": True}
    assert _outside(api.call("POST", f"{mine['href']}/sec_rules", unscoped))
    made = api.post(f"{mine['href']}/sec_rules", rule)
    assert _outside(api.call("PUT", made["href"], {"unscoped_consumers": True}))


def test_a_limited_ruleset_manager_writes_rules_within_the_scope_alone(estate: Estate) -> None:
    """Labels, workloads and all workloads of the scope; nothing that reaches further, and no rule
    of an administrator that does: it is not theirs to change, delete, or move to other hosts."""
    owner, draft = estate.owner, estate.owner.draft
    api = _scoped(owner, estate.stores, "limited_ruleset_manager", estate.shop)
    mine = estate.rule_set("limited", [estate.shop], [estate.shop, estate.prod])
    [anywhere] = owner.get(f"{draft}/ip_lists")
    everybody = [{"actors": "ams"}]
    ports = [{"proto": 6, "port": 443}]
    rule = {"providers": everybody, "consumers": everybody, "ingress_services": ports}
    web = [{"label": {"href": estate.web["href"]}}]
    made = api.post(f"{mine['href']}/sec_rules", {**rule, "providers": web})
    addresses = [{"ip_list": {"href": anywhere["href"]}}]
    wider: list[dict[str, Any]] = [
        {"unscoped_consumers": True},
        {"consumers": addresses},
        {"resolve_labels_as": {"providers": ["virtual_services", "workloads"]}},
        {"use_workload_subnets": ["providers"]},
    ]
    for change in wider:
        assert _outside(api.call("POST", f"{mine['href']}/sec_rules", {**rule, **change}))
        assert _outside(api.call("PUT", made["href"], change))
    custom = [{"enabled": True, "actors": everybody, "ip_version": 4, "statements": []}]
    assert api.call("PUT", mine["href"], {"ip_tables_rules": custom}).status in (403, 406)
    theirs = owner.post(f"{mine['href']}/sec_rules", {**rule, "consumers": addresses})
    assert _outside(api.call("PUT", theirs["href"], {"enabled": False}))
    assert _outside(api.call("DELETE", theirs["href"]))
    assert _outside(api.call("DELETE", mine["href"]))
    narrowed = [[{"label": {"href": estate.shop["href"]}}]]
    assert _outside(api.call("PUT", mine["href"], {"scopes": narrowed}))
    api.put(mine["href"], {"description": "beside it"})
    api.put(made["href"], {"enabled": False})
    api.delete(made["href"])
    assert _outside(api.call("PUT", estate.rule_set("l", [estate.bank])["href"], {"name": "x"}))


def test_a_ruleset_viewer_sees_the_rule_sets_of_their_scope(estate: Estate) -> None:
    """In lists and by href, draft and active; the others do not exist for them, and hosts and
    traffic are not theirs to see."""
    owner, org = estate.owner, estate.owner.org
    api = _scoped(owner, estate.stores, "ruleset_viewer", estate.shop)
    mine, other = estate.rule_set("seen", [estate.shop]), estate.rule_set("unseen", [estate.bank])
    owner.provision(mine["href"], other["href"])
    for version in (api.draft, api.active):
        names = {found["name"] for found in api.get(f"{version}/rule_sets", max_results="500")}
        assert "seen" in names
        assert "unseen" not in names
        ours, theirs = (href["href"].replace(api.draft, version) for href in (mine, other))
        assert api.get(ours)["name"] == "seen"
        assert api.call("GET", theirs).status == 404
        assert api.get(f"{ours}/sec_rules") == []
        assert api.call("GET", f"{theirs}/sec_rules").status == 404
    assert api.call("PUT", mine["href"], {"description": "x"}).status == 403
    assert api.call("GET", f"{org}/workloads").status == 403
    assert api.call("GET", f"{org}/labels").status == 200


def test_a_label_group_in_a_scope_stands_for_its_labels(estate: Estate) -> None:
    """Of the group and of the groups in it; an empty one lies inside nothing."""
    owner, draft = estate.owner, estate.owner.draft
    inner = owner.post(
        f"{draft}/label_groups",
        {"name": "inner", "key": "app", "labels": [{"href": estate.shop["href"]}]},
    )
    group, empty = (
        owner.post(
            f"{draft}/label_groups",
            {"name": name, "key": "app", "sub_groups": [{"href": i["href"]} for i in inside]},
        )
        for name, inside in (("outer", [inner]), ("empty", []))
    )
    scope = [{"label_group": {"href": group["href"]}}]
    api = member(owner, estate.stores, "ruleset_manager", scope)
    mine, other = estate.rule_set("g1", [estate.shop]), estate.rule_set("g2", [estate.bank])
    api.put(mine["href"], {"description": "in the group"})
    assert _outside(api.call("PUT", other["href"], {"description": "not"}))
    scopes = [[{"label_group": {"href": empty["href"]}}]]
    assert _outside(api.call("PUT", mine["href"], {"scopes": scopes}))
    api.put(mine["href"], {"scopes": [[{"label_group": {"href": group["href"]}}]]})
    excluded = [[{"label": {"href": estate.shop["href"]}, "exclusion": True}]]
    assert _outside(api.call("PUT", mine["href"], {"scopes": excluded}))


def test_provisioners_provision_what_they_may(stores: Wiring) -> None:
    """Rule sets by scope, policy objects by type; what one may not refuses the whole request."""
    estate = Estate(stores)
    owner, org = estate.owner, estate.owner.org
    rules = _scoped(owner, stores, "ruleset_provisioner", estate.shop)
    objects = member(owner, stores, "global_object_provisioner")
    shop, bank = estate.rule_set("s", [estate.shop]), estate.rule_set("b", [estate.bank])
    list_ = owner.post(f"{owner.draft}/ip_lists", LIST)

    def provision(api: Api, *hrefs: str) -> Any:
        subset: dict[str, Any] = {}
        for href in hrefs:
            subset.setdefault(href.split("/")[-2], []).append({"href": href})
        body = {"change_subset": subset} if hrefs else {}
        return api.call("POST", f"{org}/sec_policy", body)

    assert _outside(provision(rules, bank["href"]))
    assert _outside(provision(rules, shop["href"], bank["href"]))
    assert _outside(provision(rules, list_["href"]))
    assert _outside(provision(objects, shop["href"]))
    assert _outside(provision(objects))
    assert provision(rules, shop["href"]).status == 201
    assert provision(objects, list_["href"]).status == 201
    # The state that goes counts too: moved into the scope, it still leaves another.
    owner.provision(bank["href"])
    owner.put(bank["href"], {"scopes": [[{"label": {"href": estate.shop["href"]}}]]})
    assert _outside(provision(rules, bank["href"]))


def test_a_ruleset_manager_reverts_their_own_drafts(stores: Wiring) -> None:
    """Others' drafts stay as they are, even when all were to be reverted."""
    estate = Estate(stores)
    api = _scoped(estate.owner, stores, "ruleset_manager", estate.shop)
    mine, other = estate.rule_set("s", [estate.shop]), estate.rule_set("b", [estate.bank])
    org = estate.owner.org
    assert _outside(api.call("DELETE", f"{org}/sec_policy/pending"))
    assert _outside(api.call("PUT", f"{org}/sec_policy/delete", [{"href": other["href"]}]))
    assert api.call("GET", mine["href"]).status == 200
    api.put(f"{org}/sec_policy/delete", [{"href": mine["href"]}])
    assert api.call("GET", mine["href"]).status == 404
    # Nor does a manager of all rule sets revert what is no rule set.
    manager = member(estate.owner, stores, "ruleset_manager")
    list_ = estate.owner.post(f"{estate.owner.draft}/ip_lists", LIST)
    assert _outside(manager.call("PUT", f"{org}/sec_policy/delete", [{"href": list_["href"]}]))


def test_jobs_are_seen_by_who_asked(owner: Api, stores: Wiring) -> None:
    """A file may hold what others may not read."""
    job = owner.call("GET", "/users", prefer="respond-async").headers["location"]
    viewer = member(owner, stores, "ruleset_manager")
    assert owner.get(job)["status"] == "done"
    assert viewer.call("GET", job).status == 404
    assert viewer.call("GET", job.replace("jobs", "datafiles")).status == 404
    assert job not in [one["href"] for one in viewer.get(f"{owner.org}/jobs")]


# Caps


def test_caps_say_what_the_reader_may_do(estate: Estate) -> None:
    """By role and scope, of lists and of objects alone, drafts, hosts and what is pending."""
    owner, stores, org = estate.owner, estate.stores, estate.owner.org
    mine, other = estate.workload(estate.shop), estate.workload(estate.bank)
    in_scope, beyond = estate.rule_set("cap", [estate.shop]), estate.rule_set("no", [estate.bank])
    list_ = owner.post(f"{owner.draft}/ip_lists", {**LIST, "name": "caps"})
    label = _label(owner, "loc", "here")

    def caps(api: Api, document: dict[str, Any]) -> set[str]:
        href, collection = document["href"], document["href"].rpartition("/")[0]
        listed = {d["href"]: d["caps"] for d in api.get(collection, max_results="500")}
        alone = api.get(href)["caps"]
        assert alone == listed[href]
        return set(alone)

    assert [caps(owner, d) for d in (mine, label)] == [{"write"}, {"write"}]
    assert caps(owner, list_) == caps(owner, in_scope) == {"write", "provision"}
    viewer = member(owner, stores, "read_only")
    for document in (mine, label, list_, in_scope):
        assert caps(viewer, document) == set()
    workloads = _scoped(owner, stores, "workload_manager", estate.shop)
    assert (caps(workloads, mine), caps(workloads, other)) == ({"write"}, set())
    assert caps(workloads, label) == caps(workloads, in_scope) == set()
    manager = _scoped(owner, stores, "ruleset_manager", estate.shop)
    assert (caps(manager, in_scope), caps(manager, beyond)) == ({"write"}, set())
    permit(owner, manager.created["user"]["username"], "ruleset_provisioner")
    assert (caps(manager, in_scope), caps(manager, beyond)) == (
        {"write", "provision"},
        {"provision"},
    )
    objects = member(owner, stores, "global_object_provisioner")
    assert caps(objects, list_) == {"provision"}
    pending = objects.get(f"{org}/sec_policy/pending")
    found = {p["href"]: p["caps"] for kind in ("ip_lists", "rule_sets") for p in pending[kind]}
    assert (found[list_["href"]], found[in_scope["href"]]) == (["provision"], [])


def test_caps_of_vens_are_those_of_their_workloads(estate: Estate) -> None:
    """Upgrade, unpair and support reports go with editing the workload."""
    ven = pair(estate.owner, estate.stores)
    estate.owner.put(ven.workload_href, {"labels": [{"href": estate.shop["href"]}]})
    everything = estate.owner.get(ven.href)["caps"]
    assert "unpair" in everything
    for label, caps in ((estate.shop, everything), (estate.bank, [])):
        api = _scoped(estate.owner, estate.stores, "workload_manager", label)
        assert api.get(ven.href)["caps"] == caps
        [listed] = [v for v in api.get(f"{api.org}/vens") if v["href"] == ven.href]
        assert listed["caps"] == caps
