"""The table of who may use each endpoint covers the table of endpoints, and nothing else."""

import pytest

from pce.access.caps import PROVISION, roles_with
from pce.access.roles import ADMIN, OWNER, ROLES, VIEWER, Grant
from pce.objects.catalogue import COLLECTIONS, PROVISIONED
from pce.runtime.api_access import ACCESS, NOBODY, right_to
from pce.runtime.api_routes import ENDPOINTS

CALLS = [(method, path) for method, path, _ in ENDPOINTS]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_endpoint_has_a_row(method: str, path: str) -> None:
    """An endpoint without a row in ``pce/runtime/api_access.py`` is refused to everybody: add who
    may use it."""
    assert right_to(method, path) != NOBODY


def test_every_row_has_an_endpoint() -> None:
    """A right to what does not exist is a mistake in a path."""
    rows = {(method, path) for path, rights in ACCESS.items() for method in rights}
    assert rows - set(CALLS) == set()


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_owners_may_everything_and_viewers_change_nothing(method: str, path: str) -> None:
    """Except acting in another user's name, which nobody may. What a viewer may POST or PUT asks
    questions; it is listed here, so that nothing slips in."""
    right = right_to(method, path)
    if right.anybody or right.self_too:
        return
    assert OWNER in right.roles and right.roles <= set(ROLES)
    asks = path.endswith(
        (
            *("/dependencies", "/rule_coverage", "/rule_search", "/impact", "/update_rules"),
            "/vens/statistics",
        )
    )
    if method != "GET" and not asks and "/traffic_flows/" not in path:
        assert VIEWER not in right.roles
    if method == "GET":
        assert {ADMIN, VIEWER} <= right.roles


@pytest.mark.parametrize(
    ("collection", "path"),
    [
        (collection, path)
        for method, path in CALLS
        for collection in path.removesuffix("/{id}").rsplit("/", 1)[-1:]
        if method == "PUT"
        and path.endswith("/{id}")
        and collection in {*COLLECTIONS, "destinations"}
    ],
)
def test_caps_promise_what_the_table_allows(collection: str, path: str) -> None:
    """``write`` is shown to who may use PUT, and to nobody else."""
    assert roles_with("write", collection) == right_to("PUT", path).roles


@pytest.mark.parametrize("collection", [collection.name for collection in PROVISIONED])
def test_caps_promise_who_provisions(collection: str) -> None:
    """``provision`` is shown to the roles that may provision and have to do with the collection."""
    may = right_to("POST", "/orgs/{org}/sec_policy").roles
    assert roles_with(PROVISION, collection) == {r for r in may if Grant(r).concerns(collection)}
