"""A small part of what ``python -m tests.published.fuzz`` does at length."""

from pce.runtime.wiring import Wiring
from tests.published.fuzz import Round


def test_every_operation_answers_as_published(stores: Wiring) -> None:
    """One request that fits the document for each operation, with ids of objects that exist: no
    5xx, and no answer that the document does not have."""
    this = Round(stores, credentials=True)
    this.draw_fitting()
    assert not this.found, "\n".join(f"{what}\n{how}" for what, how in this.found.items())
    assert this.application.statuses.total() >= len(this.operations)


def test_without_credentials_nothing_is_told(stores: Wiring) -> None:
    """Every operation, without credentials: 401, whatever else is sent."""
    this = Round(stores, credentials=False)
    this.draw_fitting()
    assert not this.found, "\n".join(f"{what}\n{how}" for what, how in this.found.items())
    assert set(this.application.statuses) == {401}
