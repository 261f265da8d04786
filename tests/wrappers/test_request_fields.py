"""What a request's fields ask for: the wrapper decides as the model server does."""

from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from slipway.values import request_fields
from tests.support.tiny_phi3 import CONVERSATIONS

JOKE = "Tell me a joke."
MESSAGES = [{"role": "user", "content": JOKE}]


@pytest.fixture(scope="module")
def chat(load: Any, onnx_folder: Any) -> Any:
    """Return a function that answers one request as MLflow asks the wrapper."""
    model = load(onnx_folder, contract="chat")

    def ask(**fields: Any) -> str:
        frame = pd.DataFrame([{"messages": MESSAGES} | fields])
        return str(model.predict(None, frame)[0]["choices"][0]["message"]["content"])

    return ask


@pytest.mark.parametrize("table", ["NEUTRAL", "NEUTRAL_IN_MESSAGE", "NEUTRAL_IN_PART"])
def test_the_wrapper_has_the_tables_of_the_server(wrapper: ModuleType, table: str) -> None:
    """The wrapper imports nothing of Slipway, so it holds a copy."""
    assert getattr(wrapper, table) == getattr(request_fields, table)


def test_all_neutral_fields_together_change_nothing(chat: Any) -> None:
    """Each with its first neutral value, or with anything if every value is neutral."""
    fields = {
        field: "anything" if values is None else values[0]
        for field, values in request_fields.NEUTRAL.items()
        if values is None or values
    }

    assert chat(**fields) == chat(**dict.fromkeys(request_fields.NEUTRAL)) == CONVERSATIONS[JOKE]


@pytest.mark.parametrize(
    ("field", "value"),
    [("reasoning_effort", "high"), ("top_logprobs", 2), ("audio", {}), ("beams", 0), ("min_p", "")],
)
def test_any_other_value_is_refused_with_its_place(chat: Any, field: str, value: Any) -> None:
    """Also of a field that nobody knows."""
    with pytest.raises(ValueError, match=f"^{field} is not supported") as refused:
        chat(**{field: value})

    assert refused.value.param == field  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ({"role": "tool", "content": "5"}, "role"),
        ({"role": "user"}, "content"),
        ({"role": "user", "content": []}, "content"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": ""}}]},
            "content.0",
        ),
        ({"role": "user", "content": [{"type": "text", "text": "\0"}]}, "content.0.text"),
        ({"role": "assistant", "content": "a", "refusal": "no"}, "refusal"),
    ],
)
def test_a_message_is_refused_with_the_place_of_its_fault(
    model: Any, message: dict[str, Any], place: str
) -> None:
    """As the server's errors name it."""
    with pytest.raises(ValueError, match=rf"^messages\.0\.{place} is ") as refused:
        model.render([message])

    assert refused.value.param == f"messages.0.{place}"  # type: ignore[attr-defined]


def test_the_newer_name_of_a_limit_wins(chat: Any) -> None:
    """As for the server; a developer's message is a system message."""
    assert chat(max_tokens=64, max_completion_tokens=1) != CONVERSATIONS[JOKE]
    assert chat(max_tokens=64, max_completion_tokens=-1) == CONVERSATIONS[JOKE]


def test_a_developer_is_the_newer_name_of_a_system(model: Any) -> None:
    """Chat templates know the older one."""
    older, newer = (
        model.render([{"role": role, "content": "Be brief."}, *MESSAGES])
        for role in ("system", "developer")
    )

    assert older == newer
