"""What ``chat`` and ``render`` promise to a server that calls them itself."""

from typing import Any

import pandas as pd
import pytest

from tests.support.tiny_phi3 import CONVERSATIONS

CAPITAL, JOKE = "What is the capital of Spain?", "Tell me a joke."


def user(text: str) -> list[dict[str, str]]:
    """Return ``text`` as a conversation."""
    return [{"role": "user", "content": text}]


def contents(completion: dict[str, Any]) -> list[str]:
    """Return the texts of all choices."""
    return [choice["message"]["content"] for choice in completion["choices"]]


def test_a_conversation_is_rendered_in_the_markup_of_the_model(model: Any) -> None:
    """Every turn is closed, and the assistant's next one is opened."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Grüß dich 🌍"},
        {"role": "assistant", "content": "Hello", "tool_calls": None},
        {"role": "user", "content": '"Quoted"', "name": "Ada"},
    ]

    assert model.render(messages) == (
        "<|system|>\nBe brief.<|end|>\n"
        "<|user|>\nGrüß dich 🌍<|end|>\n"
        "<|assistant|>\nHello<|end|>\n"
        '<|user|>\n"Quoted"<|end|>\n'
        "<|assistant|>\n"
    )


def test_greedy_choices_are_equal(model: Any) -> None:
    """With temperature 0 there is nothing to choose, but every choice was generated."""
    one, three = model.chat(user(JOKE)), model.chat(user(JOKE), n=3)

    assert [CONVERSATIONS[JOKE]] * 3 == contents(three)
    assert [choice["index"] for choice in three["choices"]] == [0, 1, 2]
    assert one["usage"]["prompt_tokens"] == three["usage"]["prompt_tokens"]
    assert one["usage"]["completion_tokens"] * 3 == three["usage"]["completion_tokens"]


def test_drawn_choices_differ_and_are_repeatable(model: Any) -> None:
    """One seed gives each choice a seed of its own."""
    drawn = {"n": 4, "seed": 1, "temperature": 2.0, "top_k": 0, "max_tokens": 12}
    once, again = (model.chat(user("Hi"), **drawn) for _ in range(2))

    assert len(set(contents(once))) > 1
    assert contents(once) == contents(again)
    assert once["id"] != again["id"]


@pytest.mark.parametrize("max_tokens", [3, 64])
def test_usage_adds_up(model: Any, max_tokens: int) -> None:
    """The counts are of tokens that were fed and generated, whatever ended the answer."""
    usage = model.chat(user(CAPITAL), max_tokens=max_tokens)["usage"]

    assert len(model.encode(model.render(user(CAPITAL)))) == usage["prompt_tokens"]
    assert min(max_tokens, 15) == usage["completion_tokens"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]


def test_a_reason_belongs_to_each_choice(model: Any) -> None:
    """Of several drawn answers some are cut and some end, and each says which."""
    completion = model.chat(user("Hi"), n=12, seed=1, temperature=2.0, top_k=0, max_tokens=6)
    reasons = {choice["finish_reason"] for choice in completion["choices"]}

    assert reasons == {"stop", "length"}


@pytest.mark.parametrize("n", [0, 129, 1.5])
def test_an_impossible_number_of_choices_is_refused(model: Any, n: Any) -> None:
    """Zero choices would be no answer at all."""
    with pytest.raises(ValueError, match=r"^n is "):
        model.chat(user("Hi"), n=n)


def test_whole_numbers_that_pandas_made_floats_are_whole_again(load: Any, onnx_folder: Any) -> None:
    """A frame that passed no schema holds 3.0 and NaN where a caller wrote 3 and nothing."""
    model = load(onnx_folder, contract="chat")
    frame = pd.DataFrame([{"messages": user(JOKE), "max_tokens": 3}, {"messages": user(JOKE)}])
    first, second = model.predict(None, frame)

    assert frame["max_tokens"].dtype == float
    assert first["usage"]["completion_tokens"] == 3
    assert contents(second) == [CONVERSATIONS[JOKE]]


def test_params_fill_in_for_rows_that_name_nothing(load: Any, onnx_folder: Any) -> None:
    """Where a signature allows params, a row's own field still wins."""
    model = load(onnx_folder, contract="chat")
    frame = pd.DataFrame([{"messages": user(JOKE), "stop": "ship"}, {"messages": user(JOKE)}])
    first, second = model.predict(None, frame, params={"stop": "Why did the", "max_tokens": 20})

    assert contents(first) == ["Why did the "]
    assert contents(second) == [""]


def test_an_unknown_contract_is_refused(load: Any, onnx_folder: Any) -> None:
    """A typing error in the catalogue shows when the model is loaded."""
    with pytest.raises(ValueError, match=r"^contract is 'chats', expected one of"):
        load(onnx_folder, contract="chats")
