"""OpenAI's own client calls tools and sends their results back."""

import json
from typing import Any

import pytest
from openai import OpenAI

from tests.serving.test_openai_client import ask
from tests.support.model_servers import MODEL, Server

#: Short, since a token of the tiny model is a letter, and the server allows 64 of them.
PARAMETERS = {
    "type": "object",
    "properties": {"n": {"enum": [1, 2]}},
    "required": ["n"],
    "additionalProperties": False,
}
GO = {"type": "function", "function": {"name": "go", "parameters": PARAMETERS}}
NO = {"type": "function", "function": {"name": "no"}}
NAMED = {"type": "function", "function": {"name": "go"}}


@pytest.fixture(scope="module")
def client(server: Server) -> OpenAI:
    """Return a client without retries, which would hide a fault."""
    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60)


def require_go(call: Any) -> None:
    """Require a call of ``go`` whose arguments fit."""
    assert (call.type, call.function.name) == ("function", "go")
    assert json.loads(call.function.arguments) in ({"n": 1}, {"n": 2})


def test_a_call_its_result_and_an_answer(client: OpenAI) -> None:
    """The client's own loop: messages are sent back as it holds them."""
    messages: list[Any] = [{"role": "user", "content": "Go!"}]
    called = ask(client, messages=messages, tools=[GO, NO], tool_choice=NAMED).choices[0]
    [call] = called.message.tool_calls

    assert (called.finish_reason, called.message.content) == ("tool_calls", None)
    require_go(call)
    result = {"role": "tool", "tool_call_id": call.id, "content": "It floats."}
    messages += [called.message, result]
    answer = ask(client, messages=messages, tools=[NO], max_tokens=8).choices[0]
    assert answer.message.content
    assert answer.message.tool_calls is None


def test_a_streamed_call_is_the_same_in_parts(client: OpenAI) -> None:
    """First its identifier and its name, then its arguments, as the client puts them together."""
    fields: Any = {"tools": [GO], "tool_choice": "required", "parallel_tool_calls": False}
    [whole] = ask(client, "Go!", **fields).choices[0].message.tool_calls
    messages: Any = [{"role": "user", "content": "Go!"}]

    with client.chat.completions.stream(model=MODEL, messages=messages, **fields) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion().choices[0]

    assert "tool_calls.function.arguments.done" in kinds
    assert final.finish_reason == "tool_calls"
    assert final.message.tool_calls is not None
    [call] = final.message.tool_calls
    assert call.function.arguments == whole.function.arguments
    require_go(call)
    assert len(call.id) == 9


def test_no_tool_is_called_where_none_may_be(client: OpenAI) -> None:
    """The answer is as it is without tools."""
    given = ask(client, tools=[GO], tool_choice="none")

    assert given.choices[0].message == ask(client).choices[0].message


def test_a_model_that_may_choose_writes_text_or_calls(client: OpenAI) -> None:
    """Also with strict arguments: the tiny model knows no calls, so it writes text."""
    strict = {"type": "function", "function": GO["function"] | {"strict": True}}  # type: ignore[operator]
    for tool in (GO, strict):
        given = ask(client, tools=[tool], max_tokens=12).choices[0]
        assert given.message.content
        assert given.finish_reason in {"stop", "length"}


def test_several_calls_have_identifiers_of_their_own(client: OpenAI) -> None:
    """And every one of them is whole."""
    fields: Any = {"tools": [NO, GO], "tool_choice": "required", "max_tokens": 64}
    for seed in range(4):
        given = ask(client, "Go!", temperature=1, seed=seed, **fields).choices[0]
        calls = given.message.tool_calls or []
        assert len({each.id for each in calls}) == len(calls)
        for call in calls:
            json.loads(call.function.arguments)
