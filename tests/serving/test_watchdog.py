"""What stops an engine, or is meant to: its request is told, and the next ones are answered."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from slipway.redeploy import model_server
from tests.support.model_servers import MODEL, Registered, Server, serving, wait_until

SILENCE_SECONDS = 5
SILENT = f"showed no sign of life for {SILENCE_SECONDS} s"


@pytest.fixture(scope="module")
def watched_server(registered: Registered, tmp_path_factory: Any) -> Iterator[Server]:
    """Serve the version with the hostile template."""
    limits = {"SILENCE_SECONDS": str(SILENCE_SECONDS), "MEMORY_GB": "0.5"}
    variables = {f"SLIPWAY_SERVING_{name}": value for name, value in limits.items()}
    folder = tmp_path_factory.mktemp("watched")
    with serving(registered.home, folder, 3, **variables) as running:
        yield running


def ask(server: Server, turns: int, **fields: Any) -> httpx.Response:
    """Send a conversation of so many turns."""
    roles = ("user", "assistant")
    messages = [{"role": roles[turn % 2], "content": "Sail!"} for turn in range(turns)]
    return server.chat(**{"messages": messages, "max_tokens": 4} | fields)


def error(answer: httpx.Response) -> dict[str, str]:
    """Return an answer's error."""
    return dict(answer.json()["error"])


def wait_until_ready(server: Server) -> None:
    """Wait until the engine is there again."""
    wait_until(lambda: server.ready().status_code == 200, 60)


def require_blamed(refused: httpx.Response, fault: str) -> None:
    """Check the answer to a request that ended its engine: a retry would do the same."""
    assert (refused.status_code, error(refused)["code"]) == (500, "model_failed")
    assert fault in error(refused)["message"]
    assert refused.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("turns", "fault", "stream"),
    [
        (6, SILENT, True),
        (8, "took more than 0.5 GB", False),
        (8, "took more than 0.5 GB", True),
    ],
)
def test_a_template_that_calculates_or_takes_memory_ends_its_engine(
    watched_server: Server, turns: int, fault: str, *, stream: bool
) -> None:
    """The error says so, and that a retry would do the same; the next request is answered."""
    restarts = watched_server.figure("slipway_serving_engine_restarts_total")

    refused = ask(watched_server, turns, stream=stream)
    wait_until_ready(watched_server)

    require_blamed(refused, fault)
    assert watched_server.figure("slipway_serving_engine_restarts_total") == restarts + 1
    assert ask(watched_server, 1).status_code == 200


def test_messages_that_the_template_declines_are_a_bad_request(watched_server: Server) -> None:
    """The code tells a client that another form of the conversation may be answered."""
    refused = ask(watched_server, 3)

    assert (refused.status_code, error(refused)["code"]) == (400, "messages_declined")
    assert "no third turn" in error(refused)["message"]


def test_a_template_that_loops_fails_its_request_alone(watched_server: Server) -> None:
    """The wrapper ends the rendering, and the engine continues."""
    restarts = watched_server.figure("slipway_serving_engine_restarts_total")

    refused = ask(watched_server, 10)

    assert (refused.status_code, error(refused)["code"]) == (500, "model_failed")
    assert "the chat template does not end within 5 s" in error(refused)["message"]
    assert watched_server.figure("slipway_serving_engine_restarts_total") == restarts
    assert ask(watched_server, 1).status_code == 200


def test_a_silent_engine_is_not_ready_and_is_replaced(watched_server: Server) -> None:
    """First with 503 for whoever asks, a redeploy too; then it is ended, also without a request."""
    [engine] = watched_server.engines()
    address = model_server.find(watched_server.pointer.parent)
    assert address is not None
    assert model_server.ready_worker(address) is not None

    engine.suspend()
    wait_until(lambda: watched_server.ready().status_code == 503, SILENCE_SECONDS)
    silent = watched_server.ready()
    unready = model_server.ready_worker(address)
    wait_until_ready(watched_server)

    assert "no sign of life" in error(silent)["message"]
    assert unready is None
    assert watched_server.engines() != [engine]


def test_a_request_that_waits_for_a_silent_engine_may_try_again(watched_server: Server) -> None:
    """It is not to blame, unlike the one in the engine; the next one is answered."""
    restarts = watched_server.figure("slipway_serving_engine_restarts_total")
    answers: dict[int, httpx.Response] = {}

    def send(turns: int) -> None:
        answers[turns] = ask(watched_server, turns)

    threads = [threading.Thread(target=send, args=(turns,)) for turns in (6, 1)]
    threads[0].start()
    wait_until(lambda: watched_server.figure("slipway_serving_busy") == 1, 30)
    threads[1].start()
    for thread in threads:
        thread.join()
    wait_until_ready(watched_server)

    require_blamed(answers[6], SILENT)
    assert watched_server.figure("slipway_serving_engine_restarts_total") == restarts + 1
    assert ask(watched_server, 1).status_code == 200
    assert (answers[1].status_code, error(answers[1])["code"]) == (503, "model_not_ready")
    assert "retry-after" in answers[1].headers


HALF = "Ahoy \ud83c"
CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Sail!"}]}
PROMPT: dict[str, Any] = {"model": MODEL, "prompt": "Sail!"}


@pytest.mark.parametrize(
    ("route", "body", "param"),
    [
        ("chat/completions", CHAT | {"model": HALF}, "model"),
        ("chat/completions", CHAT | {"messages": [{"role": "user", "content": HALF}]}, None),
        (
            "chat/completions",
            CHAT | {"messages": [{"role": "user", "content": [{"type": "text", "text": HALF}]}]},
            "messages.0.content.0.text",
        ),
        (
            "chat/completions",
            CHAT | {"messages": [{"role": "user", "content": "Hi", "name": HALF}]},
            "messages.0.name",
        ),
        ("chat/completions", CHAT | {"stop": [HALF]}, "stop.0"),
        ("chat/completions", CHAT | {"tools": [{"function": {"name": HALF}}]}, None),
        ("chat/completions", CHAT | {"metadata": {HALF: "a key"}}, "metadata"),
        ("chat/completions", CHAT | {HALF: 1}, None),
        ("chat/completions", CHAT | {"stream": True, "user": HALF}, "user"),
        ("completions", PROMPT | {"prompt": HALF}, "prompt"),
        ("completions", PROMPT | {"prompt": ["Hi", HALF]}, "prompt.1"),
        ("completions", PROMPT | {"stop": HALF}, "stop"),
    ],
)
def test_half_a_character_is_a_bad_request_wherever_it_is(
    server: Server, route: str, body: dict[str, Any], param: str | None
) -> None:
    """JavaScript that cuts a text in an emoji sends one. The next request is answered."""
    url, kind = f"{server.url}/v1/{route}", {"content-type": "application/json"}

    refused = httpx.post(url, content=json.dumps(body), headers=kind, timeout=10)
    answer = httpx.post(f"{server.url}/v1/completions", json=PROMPT, timeout=10)

    assert (refused.status_code, error(refused)["code"]) == (400, "invalid_value")
    assert param in {error(refused)["param"], None}
    assert "half a character" in error(refused)["message"]
    assert answer.status_code == 200


def test_half_a_character_in_raw_bytes_is_a_bad_request(server: Server) -> None:
    """UTF-8 has no bytes for it, and Python's JSON reads these nevertheless."""
    content = json.dumps(PROMPT).encode().replace(b"Sail!", b"\xed\xa0\xbc")
    kind = {"content-type": "application/json"}

    refused = httpx.post(f"{server.url}/v1/completions", content=content, headers=kind, timeout=10)

    assert refused.status_code == 400


@pytest.mark.parametrize(
    "field",
    [{"messages": [0] * 300_000}, {"messages": [{"role": "user", "content": [0] * 300_000}]}],
)
def test_a_body_of_many_wrong_values_is_refused_at_once(
    server: Server, field: dict[str, Any]
) -> None:
    """An error for each of them would take the worker half a minute and 600 MB."""
    started = time.monotonic()

    refused = server.chat(**field)

    assert (refused.status_code, error(refused)["code"]) == (400, "invalid_value")
    assert time.monotonic() - started < 10
    assert len(refused.content) < 1000


def test_another_hosts_name_is_refused(server: Server) -> None:
    """A web page that points its own name at this machine gets no answer."""
    named = {"host": "evil.example"}
    answers = [
        httpx.get(f"{server.url}/v1/models", headers=named),
        httpx.post(f"{server.url}/v1/completions", json=PROMPT, headers=named),
    ]

    assert [answer.status_code for answer in answers] == [421, 421]
    assert [error(answer)["code"] for answer in answers] == ["host_not_allowed"] * 2
    assert httpx.get(f"{server.url}/ready", headers={"host": "localhost"}).status_code == 200
