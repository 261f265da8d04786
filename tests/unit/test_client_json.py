"""JSON of clients, in a body or in a text of it, is refused before a later layer fails on it."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from slipway.serving.api_errors import Unsupported
from slipway.serving.client_json import DEPTH, VALUES, parsed
from slipway.serving.protocol import ToolSupport
from slipway.serving.requests import ChatRequest

QUESTION = {"role": "user", "content": "Which port?"}


def nested(depth: int) -> Any:
    """Return objects within each other."""
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def written(**fields: Any) -> str:
    """Return a request's order as it is sent to the engine."""
    body = {"model": "tiny", "messages": [QUESTION]} | fields
    order = ChatRequest.model_validate(body).order(
        default=8, limit=8, support=ToolSupport(form="hermes")
    )
    return order.model_dump_json()


def called(arguments: str) -> list[Any]:
    """Return a conversation with a call that has these arguments."""
    call = {"id": "c1", "function": {"name": "depth", "arguments": arguments}}
    return [QUESTION, {"role": "assistant", "tool_calls": [call]}]


def with_parameters(parameters: Any) -> list[Any]:
    """Return the only tool of a request."""
    return [{"type": "function", "function": {"name": "depth", "parameters": parameters}}]


@pytest.mark.parametrize("depth", [DEPTH, 700])
def test_what_is_nested_too_deep_is_refused(depth: int) -> None:
    """The engine could not be sent it; JSON within a text has levels of its own."""
    deep = nested(depth)
    for fields in (
        {"tools": with_parameters(deep)},
        {"messages": called(json.dumps(deep | {"b": 1}))},
        {"guided_json": {"enum": [deep]}},
        {"guided_json": json.dumps({"enum": [deep]})},
    ):
        with pytest.raises(ValidationError, match="objects and lists within each other"):
            written(**fields)


def test_what_is_nested_less_reaches_the_engine() -> None:
    """Also as far within an order as a client can nest it."""
    written(
        tools=with_parameters(nested(DEPTH - 6)), messages=called(json.dumps(nested(DEPTH - 1)))
    )


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1" * 5_000])
def test_a_text_that_is_no_json_is_refused(text: str) -> None:
    """With the field that has it."""
    with pytest.raises(Unsupported, match="is no JSON") as refused:
        parsed(text, "arguments")

    assert refused.value.param == "arguments"


def test_half_a_character_in_a_text_is_refused_with_its_place() -> None:
    """JSON in JSON hides it from whoever reads the body alone."""
    with pytest.raises(Unsupported, match="half a character") as refused:
        parsed(r'{"ports": ["Oslo", "\ud83d"]}', "arguments")

    assert refused.value.param == "arguments.ports.1"


def test_a_text_with_too_many_values_is_refused() -> None:
    """As the body is."""
    assert len(parsed(json.dumps([0] * VALUES), "arguments")) == VALUES
    with pytest.raises(Unsupported, match=f"more than {VALUES} values"):
        parsed(json.dumps([0] * (VALUES + 1)), "arguments")
