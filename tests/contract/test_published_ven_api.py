"""The published VEN API is what the code speaks."""

import pytest
from openapi_spec_validator import validate

from tools.publish_ven_api import DOCUMENTS, FOLDER, text
from ven_protocol.published import OPERATIONS, openapi


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_published_documents_are_current(name: str) -> None:
    """Whoever changes a message publishes it again: run `make publish`."""
    assert (FOLDER / name).read_text() == text(DOCUMENTS[name]())


def test_the_openapi_document_is_valid() -> None:
    """Code generators accept it."""
    validate(openapi())


def test_every_operation_is_documented() -> None:
    """Each has a summary, an answer, and the errors that it may give."""
    operations = [operation for path in openapi()["paths"].values() for operation in path.values()]
    assert len(operations) == len(OPERATIONS)
    assert all(
        {"401", "403", "406", "413"} <= operation["responses"].keys() for operation in operations
    )
