"""Many requests in one engine: each has its own answer, its own end and its own faults."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.model_servers import MODEL, Registered, Server, serving, wait_until
from tests.support.tiny_phi3 import CONVERSATIONS

CLIENTS = 8
QUESTIONS = [*CONVERSATIONS, *(f"{each} Please." for each in CONVERSATIONS)]


@pytest.fixture(scope="module")
def batching_server(registered: Registered, tmp_path_factory: Any) -> Iterator[Server]:
    """Serve the version whose answers continue until a limit."""
    with serving(registered.home, tmp_path_factory.mktemp("batching"), 2) as running:
        yield running


def ask(server: Server, question: str, **fields: Any) -> httpx.Response:
    """Send one question."""
    messages = [{"role": "user", "content": question}]
    return server.chat(**{"messages": messages, "max_tokens": 40} | fields)


def text(answer: httpx.Response) -> str:
    """Return the text of an answer."""
    return str(answer.json()["choices"][0]["message"]["content"])


def test_answers_at_the_same_time_are_those_alone(batching_server: Server) -> None:
    """Also beside a request that is refused, and one whose client wants several answers."""
    alone = [text(ask(batching_server, each)) for each in QUESTIONS]
    with ThreadPoolExecutor(CLIENTS + 2) as clients:
        refused = clients.submit(ask, batching_server, "a" * 5000)
        several = clients.submit(ask, batching_server, QUESTIONS[0], n=4, max_tokens=9)
        together = [*clients.map(lambda each: text(ask(batching_server, each)), QUESTIONS)]

    assert together == alone
    assert refused.result().json()["error"]["code"] == "context_length_exceeded"
    assert [each["index"] for each in several.result().json()["choices"]] == [0, 1, 2, 3]
    assert batching_server.figure("slipway_serving_busy") == 0


def test_batches_and_their_caches_are_figures(batching_server: Server) -> None:
    """As long as answers are generated; on a fast machine that is a moment, so they go on."""
    seen = threading.Event()

    def keep_asking(question: str) -> None:
        while not seen.is_set():
            ask(batching_server, question, max_tokens=400)

    def batch() -> bool:
        rows, lanes, held, limit = (
            batching_server.figure(f"slipway_serving_{name}")
            for name in ("rows", "lanes", "cache_tokens", "cache_limit_tokens")
        )
        return rows > lanes > 0 and 0 < held < limit

    with ThreadPoolExecutor(CLIENTS) as clients:
        for number in range(CLIENTS):
            clients.submit(keep_asking, QUESTIONS[number])
        try:
            wait_until(batch, 60)
        finally:
            seen.set()
    for name in ("lanes", "rows", "cache_tokens"):
        batching_server.reaches(0, f"slipway_serving_{name}")


def test_a_killed_engine_fails_all_its_streams_and_the_next_request_is_answered(
    batching_server: Server,
) -> None:
    """Each stream ends with the standard error, which a client may answer with a retry."""
    [engine] = batching_server.engines()
    url = f"{batching_server.url}/v1/chat/completions"
    begun: list[int] = []

    def last_event(number: int) -> Any:
        messages = [{"role": "user", "content": QUESTIONS[number]}]
        endless = {"model": MODEL, "messages": messages, "max_tokens": 400, "stream": True}
        with httpx.stream("POST", url, json=endless, timeout=60) as answer:
            lines = (line for line in answer.iter_lines() if line)
            first = next(lines)
            begun.append(number)
            return json.loads([first, *lines][-1].removeprefix("data: "))

    def have_begun() -> bool:  # in short steps, so that no answer ends before the last one begins
        engine.resume()
        time.sleep(0.05)
        engine.suspend()
        return len(begun) == CLIENTS

    engine.suspend()
    with ThreadPoolExecutor(CLIENTS) as clients:
        ends = [clients.submit(last_event, number) for number in range(CLIENTS)]
        wait_until(lambda: batching_server.figure("slipway_serving_busy") > 0, 30)
        wait_until(have_begun, 60)
        engine.send_signal(signal.SIGKILL)
    wait_until(lambda: batching_server.ready().status_code == 200, 60)

    assert {end.result()["error"]["code"] for end in ends} == {"model_not_ready"}
    assert ask(batching_server, QUESTIONS[0]).status_code == 200
