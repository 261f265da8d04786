"""What /metrics prints, and that its documentation, the conventions and the board agree with it."""

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics as conventions

from tests.support.figures import BOARD, documented, expressions
from tests.support.model_servers import MODEL, SPAIN, Server, wait_until

ASKED = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "slipway",
    "gen_ai_request_model": MODEL,
    "gen_ai_response_model": f"{MODEL}:1",
}
QUESTION = {"messages": [{"role": "user", "content": SPAIN}], "max_tokens": 4}
DURATION = "gen_ai_server_request_duration_seconds_count"
FIRST = "gen_ai_server_time_to_first_token_seconds_count"
RATE = "gen_ai_server_time_per_output_token_seconds_count"


def at_rest(counted: Callable[[], list[float]]) -> list[float]:
    """Return figures once they stay: a server counts a request after its client has the answer."""
    found = counted()
    while True:
        time.sleep(0.3)
        before, found = found, counted()
        if found == before:
            return found


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_counted_by_model_and_version(server: Server, *, stream: bool) -> None:
    """Its time, the time to its first token and for each later one, and its tokens."""

    def counted() -> list[float]:
        times = (server.figure(name, **ASKED) for name in (DURATION, FIRST, RATE))
        tokens = (
            server.figure("gen_ai_client_token_usage_sum", **ASKED, gen_ai_token_type=kind)
            for kind in ("input", "output")
        )
        return [*times, *tokens]

    before = at_rest(counted)
    answer = server.chat(**QUESTION)
    usage = answer.json()["usage"]
    steps = [1, 1, 1, usage["prompt_tokens"], usage["completion_tokens"]]
    wait_until(lambda: counted() == [*map(sum, zip(before, steps, strict=True))], 30)
    alone = counted()
    server.chat(**QUESTION, stream=stream)

    wait_until(lambda: counted() == [*map(sum, zip(alone, steps, strict=True))], 30)
    assert server.figure("slipway_serving_workers", model=MODEL, version="1") == 1
    assert server.figure("slipway_serving_queue", model=MODEL, version="1") == 0


def test_a_refused_request_is_counted_with_its_status(server: Server) -> None:
    """It has no first token."""
    before = at_rest(lambda: [server.figure(DURATION, error_type="400"), server.figure(FIRST)])
    answered = server.figure("slipway_serving_requests_total", status="400")

    server.chat(messages=[])

    server.reaches(before[0] + 1, DURATION, **ASKED, error_type="400")
    server.reaches(answered + 1, "slipway_serving_requests_total", status="400")
    assert server.figure(FIRST) == before[1]


def test_no_text_of_a_client_becomes_a_label(server: Server) -> None:
    """Neither a path, nor a name of a model, nor a method, nor a header."""
    httpx.get(f"{server.url}/planted/path", headers={"planted": "planted"}, timeout=10)
    httpx.request("PLANTED", f"{server.url}/v1/models", timeout=10)
    httpx.get(f"{server.url}/v1/models/planted", timeout=10)
    server.chat(**QUESTION | {"model": "planted"})

    assert "planted" not in httpx.get(f"{server.url}/metrics", timeout=10).text.lower()


def test_the_documentation_lists_what_is_printed(server: Server) -> None:
    """Each figure with its labels; an answer was given, so that every one of them is there.

    But for that of keys, which this server does not require, and that of a front, which it has not.
    """
    server.chat(**QUESTION)
    wait_until(lambda: server.figure(DURATION) > 0, 30)

    printed = {family.name: family for family in server.families()}
    labels = {
        name: {label for each in family.samples for label in each.labels} - {"le"}
        for name, family in printed.items()
    }

    elsewhere = {
        "slipway_serving_key_requests": {"key", "status"},
        "slipway_serving_front_refusals": {"status"},
    }
    assert documented() == labels | elsewhere


def test_names_are_those_of_the_conventions(server: Server) -> None:
    """What begins with gen_ai is a metric of OpenTelemetry, with its unit as Prometheus adds it."""
    server.chat(**QUESTION)
    wait_until(lambda: server.figure(DURATION) > 0, 30)
    made: Any = [each for each in vars(conventions).values() if isinstance(each, str)]
    known = {name.replace(".", "_") for name in made}

    found = {each.name for each in server.families() if each.name.startswith("gen_ai")}

    assert len(found) == 4
    assert {name.removesuffix("_seconds") for name in found} <= known


def test_every_expression_of_the_board_names_figures_that_exist() -> None:
    """And labels that these figures have, so that no panel stays empty."""
    figures = documented()
    found = expressions()

    assert len(found) >= 8
    for expression in found:
        names = re.findall(r"(?:gen_ai|slipway)_\w+(?=\{)", expression)
        assert names, expression
        for name in names:
            family = re.sub(r"_(total|bucket|sum|count)$", "", name)
            assert family in figures, expression
    assert all(panel["datasource"]["uid"] == "${source}" for panel in BOARD["panels"])
