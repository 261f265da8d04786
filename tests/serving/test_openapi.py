"""Whatever fits the server's own description, and much that does not, gets a proper answer."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS
from servers import Server

CHECKED = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]


@pytest.fixture(scope="module")
def description(server: Server) -> Any:
    """Return the description that the server gives of itself."""
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("description")


@schema.parametrize()
@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_request_is_answered_with_a_defect_or_not_at_all(case: Any) -> None:
    """No status of 500 or above, none that is not described, no wait without end."""
    case.call_and_validate(
        timeout=20,
        checks=CHECKS.get_by_names(CHECKED),
    )
