"""The published management API is what the code serves."""

from openapi_spec_validator import validate

from pce.runtime.api_answer import ROUTES, document
from pce.runtime.api_page import page
from tools.publish_api import FILE, text


def test_the_published_document_is_current() -> None:
    """Whoever changes an endpoint, a field or a right publishes it again: run `make publish`."""
    assert FILE.read_text() == text()


def test_the_document_is_valid() -> None:
    """Code generators accept it."""
    validate(document())


def test_every_endpoint_is_documented() -> None:
    """With who may use it, and with the event of each that changes something."""
    operations = {
        (method.upper(), path): operation
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }
    assert operations.keys() == {(route.method, route.path) for route in ROUTES}
    for route in ROUTES:
        operation = operations[route.method, route.path]
        assert operation["x-roles"] and ("x-event" in operation) == route.changes
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(ids) == len(set(ids))


def test_the_page_shows_all_and_fetches_nothing() -> None:
    """Every endpoint is on it; nothing is loaded from anywhere."""
    html = page(document())
    assert all(f"<code>{route.path}</code>" in html for route in ROUTES)
    assert not any(word in html for word in ("<script", "<link", "<img", "src=", "@import", "url("))
