"""A small part of what ``python -m tests.published.fuzz`` does at length."""

from pce.runtime.wiring import Wiring
from tests.fakes.api import Api
from tests.published.described import operations
from tests.published.estate import filled
from tests.published.fuzz import Round


def test_operations_answer_as_published(stores: Wiring) -> None:
    """A request that fits the document for one operation in four, with ids of objects that exist:
    no 5xx, and no answer that the document does not have."""
    this = Round(stores, credentials=True)
    this.draw_fitting(every=4)
    assert not this.found, "\n".join(f"{what}\n{how}" for what, how in this.found.items())
    assert this.application.statuses.total() >= len(this.operations) // 4


def test_without_credentials_nothing_is_told(shared_api: Api) -> None:
    """Every operation: 401, or 404 where ids have a form that this one has not."""
    ids = {"org": shared_api.org[6:], "version": "draft"}
    said = {
        str(each): shared_api.call(each.method, filled(each.path, ids), {}, authorization="").status
        for each in operations()
    }
    assert {each: status for each, status in said.items() if status not in (401, 404)} == {}
    assert list(said.values()).count(404) < 10
