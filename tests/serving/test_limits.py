"""What a server does when it has too many requests, or when a client has left."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.support.model_servers import MODEL, SPAIN, Registered, Server, serving, wait_until

ENDLESS = {
    "model": MODEL,
    "messages": [{"role": "user", "content": SPAIN}],
    "max_tokens": 480,
    "n": 16,
}
BRIEF = ENDLESS | {"max_tokens": 2, "n": 1}
REQUEST_SECONDS = 3


@pytest.fixture(scope="module")
def busy_server(registered: Registered, tmp_path_factory: Any) -> Iterator[Server]:
    """Serve the version whose answers continue until a limit; one request may wait."""
    folder = tmp_path_factory.mktemp("busy")
    limits = {"QUEUE": "1", "REQUEST_SECONDS": str(REQUEST_SECONDS)}
    variables = {f"SLIPWAY_SERVING_{name}": value for name, value in limits.items()}
    with serving(registered.home, folder, 2, **variables) as running:
        yield running


def post(server: Server, body: dict[str, Any]) -> httpx.Response:
    """Send a chat request."""
    return httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)


def begin(server: Server, body: dict[str, Any]) -> threading.Thread:
    """Send a chat request without waiting for the answer."""
    thread = threading.Thread(target=post, args=(server, body))
    thread.start()
    return thread


def leave(server: Server, *, stream: bool) -> None:
    """Request an answer that takes seconds, and close the connection soon after it began."""
    body = ENDLESS | {"stream": stream}
    with (
        suppress(httpx.ReadTimeout),
        httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=0.5) as answer,
    ):
        next(answer.iter_lines())


@pytest.mark.parametrize("stream", [False, True])
def test_the_model_is_free_again_once_its_client_left(busy_server: Server, *, stream: bool) -> None:
    """Its work ends at the next token, and waiting requests are answered."""
    cancelled = busy_server.figure("slipway_serving_cancelled_total")
    leave(busy_server, stream=stream)
    left = time.monotonic()

    assert post(busy_server, BRIEF).status_code == 200

    assert time.monotonic() - left < 0.5
    assert busy_server.figure("slipway_serving_cancelled_total") == cancelled + 1
    assert busy_server.figure("slipway_serving_busy") == 0


def test_a_client_that_leaves_the_queue_costs_nothing(busy_server: Server) -> None:
    """A request whose client left while it waited never reaches the model."""
    [engine] = busy_server.engines()
    engine.suspend()
    first = begin(busy_server, BRIEF)
    wait_until(lambda: busy_server.figure("slipway_serving_busy") == 1, 5)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{busy_server.url}/v1/chat/completions", json=ENDLESS, timeout=0.3)
    wait_until(lambda: busy_server.figure("slipway_serving_queue") == 0, 5)
    generated = busy_server.figure('slipway_serving_tokens_total{kind="completion"}')
    engine.resume()
    first.join()

    now = busy_server.figure('slipway_serving_tokens_total{kind="completion"}')
    assert now == generated + 2


def test_a_request_to_a_full_queue_is_refused_with_retry_after(busy_server: Server) -> None:
    """One is being answered and one may wait; the third is refused at once, in OpenAI's form."""
    [engine] = busy_server.engines()
    engine.suspend()
    waiting = [begin(busy_server, BRIEF)]
    wait_until(lambda: busy_server.figure("slipway_serving_busy") == 1, 5)
    waiting.append(begin(busy_server, BRIEF))
    wait_until(lambda: busy_server.figure("slipway_serving_queue") == 1, 5)

    refused = post(busy_server, BRIEF)
    live = httpx.get(f"{busy_server.url}/health")
    engine.resume()
    for thread in waiting:
        thread.join()

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
    assert int(refused.headers["retry-after"]) > 0
    assert live.status_code == 200
    assert post(busy_server, BRIEF).status_code == 200


def test_a_request_has_a_time_limit(busy_server: Server) -> None:
    """After it the request is cancelled; a client must not retry, since that takes as long."""
    [engine] = busy_server.engines()
    engine.suspend()
    started = time.monotonic()
    refused = post(busy_server, BRIEF)
    waited = time.monotonic() - started
    engine.resume()

    assert REQUEST_SECONDS * 0.9 < waited < REQUEST_SECONDS + 2
    assert (refused.status_code, refused.json()["error"]["code"]) == (504, "timeout")
    assert refused.headers["x-should-retry"] == "false"
    assert post(busy_server, BRIEF).status_code == 200


def test_a_stream_that_takes_too_long_ends_with_an_error(busy_server: Server) -> None:
    """Its status was sent already, so the error is its last event."""
    [engine] = busy_server.engines()
    url = f"{busy_server.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=ENDLESS | {"stream": True}, timeout=30) as answer:
        engine.suspend()
        lines = [line for line in answer.iter_lines() if line]
    engine.resume()

    assert json.loads(lines[-1].removeprefix("data: "))["error"]["code"] == "timeout"
    assert post(busy_server, BRIEF).status_code == 200


def test_the_metrics_count_requests(busy_server: Server) -> None:
    """By route and status, with times and tokens, and the served version."""
    answered = 'slipway_serving_requests_total{route="/v1/chat/completions",status="200"}'
    before = busy_server.figure(answered)

    post(busy_server, BRIEF)

    assert busy_server.figure(answered) == before + 1
    first = 'slipway_serving_first_token_seconds_count{route="/v1/chat/completions"}'
    whole = 'slipway_serving_request_seconds_count{route="/v1/chat/completions"}'
    assert 0 < busy_server.figure(first) <= busy_server.figure(whole)
    assert busy_server.figure('slipway_serving_tokens_total{kind="prompt"}') >= 15
    assert busy_server.figure('slipway_serving_workers{model="tiny",version="2"}') == 1
    assert busy_server.figure("slipway_serving_queue") == 0
