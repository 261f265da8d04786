"""Generated requests, right and wrong, are answered as the OpenAPI document describes."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.model_servers import MODEL, Server

OPERATIONS = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("GET", "/"),
    ("GET", "/beside"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/metrics"),
]
CHECKED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
LONGEST_SECONDS = 20
EXAMPLES = settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def description(server: Server) -> Any:
    """Return the server's OpenAPI document."""
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def test_every_route_is_described(description: Any) -> None:
    """So that none is left out below."""
    described = {
        (each.ok().method.upper(), each.ok().path) for each in description.get_all_operations()
    }

    assert described == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_valid_requests_are_answered_as_described(description: Any, method: str, path: str) -> None:
    """No status of 500 or above, no status that is not described, no endless wait."""

    @EXAMPLES
    @given(case=description[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def holds(case: Any) -> None:
        if isinstance(case.body, dict):
            case.body["model"] = MODEL  # any other is answered with 404
        case.call_and_validate(timeout=LONGEST_SECONDS, checks=CHECKED)

    holds()


@pytest.mark.parametrize(("method", "path"), OPERATIONS[:2])
def test_invalid_requests_are_refused_as_described(
    description: Any, method: str, path: str
) -> None:
    """The other routes have no input."""

    @EXAMPLES
    @given(case=description[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def holds(case: Any) -> None:
        case.call_and_validate(timeout=LONGEST_SECONDS, checks=CHECKED)

    holds()
