"""The answers of a preflight server are checked over HTTP; each fault is named."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from slipway.checks import suites
from slipway.errors import CandidateFailed
from slipway.redeploy import golden_prompts
from slipway.redeploy.golden_prompts import GoldenPrompts
from slipway.redeploy.model_server import Address
from slipway.settings import PROJECT
from slipway.values import PromptMessage
from tests.support.healthy_answers import completion, prompt
from tests.support.network import http_server

GOLDEN = GoldenPrompts(
    prompts=(prompt("ferry", stop=("ten",)), prompt("harbour"), prompt("waves")),
    answer=suites.schema(PROJECT / "expectations", "chat"),
    max_median_latency_ms=1000,
)
STREAM = ('{"choices": [{"delta": {"content": "At nine."}}]}', "[DONE]")
GOOD: dict[str, Any] = {"status": 200, "version": "4", "document": completion(), "stream": STREAM}
#: What a server answers if its chat template declines the messages.
DECLINED = {"status": 400, "document": {"error": {"code": "messages_declined"}}}
SYSTEM = PromptMessage(role="system", content="Be brief.")


class Answers(BaseHTTPRequestHandler):
    """Answers every request alike."""

    def do_POST(self) -> None:
        """Answer as the test configured it."""
        plan = self.server.plan  # type: ignore[attr-defined] # set below
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)  # type: ignore[attr-defined]
        time.sleep(plan.get("delay_seconds", 0))
        if plan.get("declines") and body["messages"][0]["role"] == "system":
            plan = plan | DECLINED
        lines = "".join(f"data: {line}\n\n" for line in plan["stream"])
        content = lines if body.get("stream") else json.dumps(plan["document"])
        with suppress(ConnectionError):  # who waits no longer has closed the connection
            self.send_response(plan["status"])
            self.send_header("X-Model-Version", plan["version"])
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def answering(**changes: Any) -> Iterator[tuple[Address, list[dict[str, Any]]]]:
    """Serve good answers with some changes; yield the address and the received requests."""
    with http_server(Answers) as server:
        server.plan, server.requests = GOOD | changes, []  # type: ignore[attr-defined]
        port = server.server_address[1]
        yield (
            Address(pid=os.getpid(), host="127.0.0.1", port=port, workers=1),
            server.requests,  # type: ignore[attr-defined]
        )


def test_good_answers_pass_and_are_timed() -> None:
    """Every prompt is sent with temperature 0 and its own limits, the first also as a stream."""
    with answering() as (address, requests):
        median_ms = golden_prompts.check(address, "tiny", 4, GOLDEN)

    assert 0 < median_ms < 1000
    assert [each.get("stream", False) for each in requests] == [False, False, False, True]
    assert requests[0]["stop"] == ["ten"]
    assert "stop" not in requests[1]
    assert {each["temperature"] for each in requests} == {0}
    assert {each["model"] for each in requests} == {"tiny"}


def test_a_model_that_declines_a_system_message_is_asked_without_it() -> None:
    """As the smoke test asked it; the stream too."""
    question = GOLDEN.prompts[0].messages
    first = prompt("ferry", messages=(SYSTEM, *question))
    golden = GOLDEN.model_copy(update={"prompts": (first, *GOLDEN.prompts[1:])})

    with answering(declines=True) as (address, requests):
        golden_prompts.check(address, "tiny", 4, golden)

    roles = [[message["role"] for message in each["messages"]] for each in requests]
    assert roles == [["system", "user"], *[["user"]] * 4]


def without(field: str) -> dict[str, Any]:
    """Return a chat completion that lacks a field."""
    return {name: value for name, value in completion().items() if name != field}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"status": 500}, "ferry: status 500", id="an error"),
        pytest.param({"version": "3"}, "ferry: version 3 answered", id="another version"),
        pytest.param({"document": "At nine."}, "wrong answer shape", id="a bare text"),
        pytest.param({"document": without("usage")}, "'usage' is a required", id="no counts"),
        pytest.param({"document": completion(" \n")}, "the answer is empty", id="empty"),
        pytest.param({"stream": STREAM[:1]}, "the stream ended without [DONE]", id="cut off"),
        pytest.param({"stream": ("{}", "[DONE]")}, "streamed answer is empty", id="empty stream"),
        pytest.param({"stream": ("{", "[DONE]")}, "the stream: ", id="no JSON in a stream"),
        pytest.param(
            {"stream": ('{"error": {"message": "engine gone"}}',)},
            "the stream broke off: engine gone",
            id="broken off",
        ),
        pytest.param({"delay_seconds": 1.2}, "the median answer took 1", id="slow"),
        pytest.param({"delay_seconds": 4}, "no answer to ferry in time", id="much too slow"),
    ],
)
def test_a_fault_names_the_prompt_and_what_is_wrong(changes: dict[str, Any], reason: str) -> None:
    """In one line, which becomes the reason of the quarantine."""
    with answering(**changes) as (address, _), pytest.raises(CandidateFailed) as caught:
        golden_prompts.check(address, "tiny", 4, GOLDEN)

    assert reason in caught.value.reason
    assert "\n" not in caught.value.reason


def test_a_server_that_exited_is_a_fault() -> None:
    """A server that exits after it was ready fails the check."""
    with answering() as (address, _):
        pass

    with pytest.raises(CandidateFailed, match="ferry: "):
        golden_prompts.check(address, "tiny", 4, GOLDEN)
