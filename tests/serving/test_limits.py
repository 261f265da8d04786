"""What a server does when it has too many requests, or when a client has left."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import psutil
import pytest

from tests.support.model_servers import MODEL, SPAIN, Registered, Server, leave, serving, wait_until

ENDLESS = {
    "model": MODEL,
    "messages": [{"role": "user", "content": SPAIN}],
    "max_tokens": 480,
    "n": 16,
}
BRIEF = ENDLESS | {"max_tokens": 2, "n": 1}
REQUEST_SECONDS = 6
TOKENS = "gen_ai_client_token_usage_sum"
OUTPUT = {"gen_ai_token_type": "output"}
ENDED = "gen_ai_server_request_duration_seconds_count"


@pytest.fixture(scope="module")
def busy_server(registered: Registered, tmp_path_factory: Any) -> Iterator[Server]:
    """Serve the version whose answers continue until a limit; one is answered, one may wait."""
    folder = tmp_path_factory.mktemp("busy")
    limits = {"ROWS": "1", "QUEUE": "1", "REQUEST_SECONDS": str(REQUEST_SECONDS)}
    variables = {f"SLIPWAY_SERVING_{name}": value for name, value in limits.items()}
    with serving(registered.home, folder, 2, **variables) as running:
        yield running


def begin(server: Server, body: dict[str, Any]) -> threading.Thread:
    """Send a chat request without waiting for the answer."""
    thread = threading.Thread(target=server.chat, kwargs=body)
    thread.start()
    return thread


@pytest.mark.parametrize("stream", [False, True])
def test_the_model_is_free_again_once_its_client_left(busy_server: Server, *, stream: bool) -> None:
    """Its work ends at the next token, and waiting requests are answered."""
    cancelled = busy_server.figure("slipway_serving_cancelled_total")
    left = busy_server.figure(ENDED, error_type="499")
    leave(busy_server.url, busy_server, ENDLESS | {"stream": stream})
    since = time.monotonic()

    assert busy_server.chat(**BRIEF).status_code == 200

    assert time.monotonic() - since < REQUEST_SECONDS - 2
    busy_server.reaches(cancelled + 1, "slipway_serving_cancelled_total")
    busy_server.reaches(left + 1, ENDED, error_type="499")
    busy_server.reaches(0, "slipway_serving_busy")


def test_a_client_that_leaves_the_queue_costs_nothing(busy_server: Server) -> None:
    """A request whose client left while it waited never reaches the model."""
    [engine] = busy_server.engines()
    engine.suspend()
    first = begin(busy_server, BRIEF)
    wait_until(lambda: busy_server.figure("slipway_serving_busy") == 1, 30)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{busy_server.url}/v1/chat/completions", json=ENDLESS, timeout=0.3)
    wait_until(lambda: busy_server.figure("slipway_serving_queue") == 0, 30)
    generated = busy_server.figure(TOKENS, **OUTPUT)
    engine.resume()
    first.join()

    busy_server.reaches(generated + 2, TOKENS, **OUTPUT)


def test_a_request_to_a_full_queue_is_refused_with_retry_after(busy_server: Server) -> None:
    """One is being answered and one may wait; the third is refused at once, in OpenAI's form."""
    [engine] = busy_server.engines()
    engine.suspend()
    waiting = [begin(busy_server, BRIEF)]
    wait_until(lambda: busy_server.figure("slipway_serving_busy") == 1, 30)
    waiting.append(begin(busy_server, BRIEF))
    wait_until(lambda: busy_server.figure("slipway_serving_queue") == 1, 30)

    refused = busy_server.chat(**BRIEF)
    live = httpx.get(f"{busy_server.url}/health")
    engine.resume()
    for thread in waiting:
        thread.join()

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
    assert int(refused.headers["retry-after"]) > 0
    assert live.status_code == 200
    assert busy_server.chat(**BRIEF).status_code == 200


def test_a_request_has_a_time_limit(busy_server: Server) -> None:
    """After it the request is cancelled; a client must not retry, since that takes as long."""
    [engine] = busy_server.engines()
    engine.suspend()
    started = time.monotonic()
    refused = busy_server.chat(**BRIEF)
    waited = time.monotonic() - started
    engine.resume()

    assert REQUEST_SECONDS * 0.9 < waited < REQUEST_SECONDS + 2
    assert (refused.status_code, refused.json()["error"]["code"]) == (504, "timeout")
    assert refused.headers["x-should-retry"] == "false"
    assert busy_server.chat(**BRIEF).status_code == 200


def test_a_stream_that_takes_too_long_ends_with_an_error(busy_server: Server) -> None:
    """Its status was sent already, so the error is its last event; the metrics count the error."""
    [engine] = busy_server.engines()
    before = busy_server.figure(ENDED, error_type="504")
    url = f"{busy_server.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=ENDLESS | {"stream": True}, timeout=30) as answer:
        engine.suspend()
        lines = [line for line in answer.iter_lines() if line]
    engine.resume()

    assert json.loads(lines[-1].removeprefix("data: "))["error"]["code"] == "timeout"
    busy_server.reaches(before + 1, ENDED, error_type="504")
    assert busy_server.chat(**BRIEF).status_code == 200


def test_silent_connections_stop_nobody(busy_server: Server) -> None:
    """More of them than the worker may open files; they cost the ones that waited longest."""
    worker = psutil.Process(busy_server.ready().json()["pid"])
    worker.rlimit(psutil.RLIMIT_NOFILE, (512, worker.rlimit(psutil.RLIMIT_NOFILE)[1]))
    url = httpx.URL(busy_server.url)
    with ExitStack() as silent:
        for _ in range(700):
            silent.enter_context(socket.create_connection((url.host, url.port), timeout=5))

        answers = [busy_server.chat(**BRIEF).status_code for _ in range(3)]
        ready = busy_server.ready().status_code

    assert (answers, ready) == ([200] * 3, 200)
