"""A trial's answers are looked at over HTTP, as a client gets them; each fault is named."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from slipway.checks import suites
from slipway.errors import CandidateFailed
from slipway.redeploy import GoldenPrompts, golden_prompts
from slipway.redeploy.model_server import Address
from slipway.settings import PROJECT
from tests.support.healthy_answers import completion, prompt

GOLDEN = GoldenPrompts(
    prompts=(prompt("ferry", stop=("ten",)), prompt("harbour"), prompt("waves")),
    answer=suites.schema(PROJECT / "expectations", "chat"),
    max_median_latency_ms=300,
)
STREAM = ('{"choices": [{"delta": {"content": "At nine."}}]}', "[DONE]")
GOOD: dict[str, Any] = {"status": 200, "version": "4", "document": completion(), "stream": STREAM}


class Answers(BaseHTTPRequestHandler):
    """Answers every question alike."""

    def do_POST(self) -> None:
        """Answer as the test says."""
        plan = self.server.plan  # type: ignore[attr-defined] # set below
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)  # type: ignore[attr-defined]
        time.sleep(plan.get("delay_seconds", 0))
        lines = "".join(f"data: {line}\n\n" for line in plan["stream"])
        body = lines if asked.get("stream") else json.dumps(plan["document"])
        self.send_response(plan["status"])
        self.send_header("X-Model-Version", plan["version"])
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def answering(**changes: Any) -> Iterator[tuple[Address, list[dict[str, Any]]]]:
    """Serve good answers, apart from the changes."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.plan, server.asked = GOOD | changes, []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        yield (
            Address(pid=os.getpid(), host="127.0.0.1", port=port, workers=1),
            server.asked,  # type: ignore[attr-defined]
        )
        server.shutdown()


def test_good_answers_pass_and_are_timed() -> None:
    """Every prompt is asked greedily with its own limits, and one of them once more as a stream."""
    with answering() as (address, asked):
        median_ms = golden_prompts.ask(address, "tiny", 4, GOLDEN)

    assert 0 < median_ms < 300
    assert [each.get("stream", False) for each in asked] == [False, False, False, True]
    assert asked[0]["stop"] == ["ten"]
    assert "stop" not in asked[1]
    assert {each["temperature"] for each in asked} == {0}
    assert {each["model"] for each in asked} == {"tiny"}


def without(field: str) -> dict[str, Any]:
    """Return a chat completion that lacks a field."""
    return {name: value for name, value in completion().items() if name != field}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"status": 500}, "ferry: status 500", id="an error"),
        pytest.param({"version": "3"}, "ferry: version 3 answered", id="another version"),
        pytest.param({"document": "At nine."}, "wrong answer shape", id="a bare text"),
        pytest.param({"document": without("usage")}, "'usage' is a required", id="no counts"),
        pytest.param({"document": completion(" \n")}, "the answer is empty", id="nothing said"),
        pytest.param({"stream": STREAM[:1]}, "the stream: it ended without [DONE]", id="cut off"),
        pytest.param({"stream": ("{}", "[DONE]")}, "streamed answer is empty", id="empty stream"),
        pytest.param({"stream": ("{", "[DONE]")}, "the stream: ", id="no JSON in a stream"),
        pytest.param(
            {"stream": ('{"error": {"message": "engine gone"}}',)},
            "it broke off: engine gone",
            id="broken off",
        ),
        pytest.param({"delay_seconds": 0.4}, "the median answer took 4", id="slow"),
        pytest.param({"delay_seconds": 1.2}, "no answer to ferry in time", id="much too slow"),
    ],
)
def test_a_fault_names_the_prompt_and_what_is_wrong(changes: dict[str, Any], words: str) -> None:
    """In one line, which is what its quarantine will say."""
    with answering(**changes) as (address, _), pytest.raises(CandidateFailed) as caught:
        golden_prompts.ask(address, "tiny", 4, GOLDEN)

    assert words in caught.value.reason
    assert "\n" not in caught.value.reason


def test_nobody_there_is_a_fault_too() -> None:
    """A server that went away after it was ready did not pass."""
    with answering() as (address, _):
        pass

    with pytest.raises(CandidateFailed, match="ferry: "):
        golden_prompts.ask(address, "tiny", 4, GOLDEN)
