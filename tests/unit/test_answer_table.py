"""A wrapper's answers become a table in which every fact stands in a column of its own."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.checks.answer_table import Cell, Row, repetition, rows
from slipway.values import Contract, Prediction, PromptMessage, WrapperKind
from tests.support.healthy_answers import TEXT, answers, completion, predicted, prompt

STOP = prompt("ferry", stop=("nine",), max_tokens=20)


def row(answer: Any, **fields: Any) -> Row:
    """Lay out one chat answer of the ONNX wrapper to the prompt with a stop text."""
    return rows(answers(predicted("ferry", answer, **fields)), (STOP,))[0]


def test_a_chat_completion_is_spread_over_the_columns() -> None:
    """Every column of a healthy chat answer has the completion's value."""
    actual = row(completion("At eight."), repeated=json.dumps(completion("At eight.")))
    del actual["response"]

    expected = {
        "prompt_id": "ferry",
        "is_json": True,
        "output": "At eight.",
        "finish_reason": "stop",
        "prompt_tokens": 12,
        "completion_tokens": 7,
        "total_tokens": 19,
        "output_length": 9,
        "usage_adds_up": True,
        "finish_reason_truthful": True,
        "stop_respected": True,
        "longest_repeat_ratio": 0.0,
        "echoes_prompt": False,
        "deterministic": True,
        "latency_ms": 80.0,
        "error": None,
    }

    assert expected == actual


def test_an_answer_of_the_prompt_contract_is_its_text() -> None:
    """A text has no usage, no finish reason and no stop: these columns are None."""
    (actual,) = rows(answers(predicted("ferry", TEXT), contract="prompt"), (STOP,))
    absent = ("finish_reason", "total_tokens", "usage_adds_up", "finish_reason_truthful")

    assert (TEXT, len(TEXT)) == (actual["output"], actual["output_length"])
    assert [actual[column] for column in (*absent, "stop_respected")] == [None] * 5


def test_rows_follow_the_prompts_and_not_the_predictions() -> None:
    """Predictions that come back in another order are matched by their prompt's id."""
    prompts = (prompt("first"), prompt("second"))
    given_ = answers(
        predicted("second", completion("Two.")), predicted("first", completion("One."))
    )
    actual = [(row["prompt_id"], row["output"]) for row in rows(given_, prompts)]

    assert actual == [("first", "One."), ("second", "Two.")]


def test_a_missing_prediction_keeps_its_row() -> None:
    """A prompt without an answer is a row with an error, not a row less."""
    actual = rows(answers(predicted("first", completion())), (prompt("first"), prompt("second")))

    assert [row["error"] for row in actual] == [None, "the wrapper returned no prediction"]
    assert (actual[1]["is_json"], actual[1]["latency_ms"]) == (None, None)


def test_a_prediction_too_many_is_a_row_too_many() -> None:
    """A second answer and an answer to no prompt are rows after the others."""
    given_ = answers(*(predicted(name, completion()) for name in ("ferry", "ferry", "stranger")))
    actual = rows(given_, (STOP,))

    assert [row["prompt_id"] for row in actual] == ["ferry", "ferry", "stranger"]
    assert (actual[1]["stop_respected"], actual[2]["finish_reason_truthful"]) == (False, None)


def test_an_empty_prediction_is_an_error() -> None:
    """A wrapper that returns nothing, and raises nothing, has not answered."""
    nothing = Prediction(prompt_id="ferry", response=None, latency_ms=1)

    assert rows(answers(nothing), (STOP,))[0]["error"] == "the prediction is empty"


@pytest.mark.parametrize(
    "response",
    ["", "Madrid", "{'id': 1}", '{"total": NaN}', "[Infinity]", "[" * 100_000, "1" * 5_000],
)
def test_what_another_language_could_not_read_is_not_json(response: str) -> None:
    """NaN and Infinity, which Python alone reads, count as broken; so does nesting without end."""
    (actual,) = rows(answers(predicted("ferry", None, response=response)), (STOP,))

    assert (actual["is_json"], actual["output"], actual["usage_adds_up"]) == (False, None, None)


@pytest.mark.parametrize(
    ("tokens", "reason", "expected"),
    [
        pytest.param(7, "stop", True, id="ended early"),
        pytest.param(7, "length", False, id="ended early, and claims the limit"),
        pytest.param(32, "length", True, id="spent"),
        pytest.param(32, "stop", None, id="spent, and ended there or claims so"),
        pytest.param(33, "stop", False, id="overspent"),
        pytest.param(7, "eos_token", None, id="the schema's business"),
    ],
)
def test_the_finish_reason_is_held_against_the_budget(
    tokens: int, reason: str, expected: bool | None
) -> None:
    """``length`` is true when, and only when, all new tokens were spent."""
    given_ = answers(predicted("ferry", completion(tokens=tokens, reason=reason)))
    (actual,) = rows(given_, (prompt("ferry", max_tokens=32),))

    assert expected is actual["finish_reason_truthful"]


@pytest.mark.parametrize(
    ("kind", "contract", "expected"),
    [("onnx", "chat", False), ("transformers", "chat", None), ("onnx", "prompt", None)],
)
def test_a_stop_text_counts_where_it_was_passed(
    kind: WrapperKind, contract: Contract, expected: bool | None
) -> None:
    """Only the ONNX wrapper's chat contract is given stop texts."""
    response = completion(TEXT) if contract == "chat" else TEXT
    given_ = answers(predicted("ferry", response), kind=kind, contract=contract)

    assert expected is rows(given_, (STOP,))[0]["stop_respected"]


def test_another_call_may_have_another_id_and_time() -> None:
    """The same answer under another id is the same; another word is not."""
    again = completion() | {"id": "chatcmpl-2", "created": 1_790_000_009}
    other = completion("The ferry leaves at ten.")
    actual = [
        row(completion(), repeated=json.dumps(text))["deterministic"] for text in (again, other)
    ]

    assert actual == [True, False]
    assert row(completion())["deterministic"] is None
    assert row(None, response="Madrid", repeated="Madrid")["deterministic"] is True


@pytest.mark.parametrize(
    ("question", "output", "expected"),
    [
        pytest.param("Where is the pier?", " where is  the pier?", True, id="whole"),
        pytest.param(
            "Where is the old pier of this town?", "Where is the old pier of this", True, id="cut"
        ),
        pytest.param("Is ice cold or hot?", "Is", False, id="one word of it"),
        pytest.param("Say cold.", "Cold.", False, id="what was asked for"),
        pytest.param("Where is the pier?", "Where is the pier? At the end.", False, id="and more"),
        pytest.param("Where is the pier?", "", False, id="empty"),
    ],
)
def test_an_echo_is_the_question_again(question: str, output: str, expected: bool) -> None:
    """Repeating the question, whole or cut off, is an echo; taking up its words is not."""
    asked = prompt("ferry", messages=(PromptMessage(role="user", content=question),))
    (actual,) = rows(answers(predicted("ferry", completion(output))), (asked,))

    assert expected is actual["echoes_prompt"]


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    """Text that cannot be encoded is repaired visibly before it is written."""
    (actual,) = rows(
        answers(predicted("ferry", "\ud83d ahoy", response='"\\ud83d ahoy"'), contract="prompt"),
        (STOP,),
    )

    assert actual["output"] == "\ufffd ahoy"


def test_whole_numbers_may_be_written_with_a_point() -> None:
    """JSON knows one kind of number, so 19.0 tokens are 19; true and 19.5 are none."""
    usages = [
        {"prompt_tokens": 12.0, "completion_tokens": 7, "total_tokens": total}
        for total in (19.0, True, 19.5)
    ]
    actual = [row(completion() | {"usage": usage}) for usage in usages]

    assert [row["usage_adds_up"] for row in actual] == [True, None, None]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(completion())), inner),
)


@given(response=st.text() | json_values.map(json.dumps), repeated=st.none() | st.text())
def test_no_response_can_make_it_raise(response: str, repeated: str | None) -> None:
    """Whatever a wrapper returns becomes a row of the same columns, each a plain value."""
    for contract in ("chat", "prompt"):
        strange = predicted("ferry", None, response=response, repeated=repeated)
        (actual,) = rows(answers(strange, contract=contract), (STOP,))

        assert set(row(completion())) == set(actual)
        assert all(isinstance(cell, Cell) for cell in actual.values())


@pytest.mark.parametrize(
    "text",
    [
        "the the the the the the the the the the",
        'A "hob" is a "ment" is a "ment" is a "ment" is a "ment" is a "ment" is a "ment" is',
        "* * *\n* * * * * * *\n* * * * * * *\n* * *",
        "The harbour is old. The harbour is old. The harbour is old. The harbour is",
        "It is said that it is said that it is said that it is said that it is",
        "andandandandandandandandandandand",
        "的的的的的的的的的的的的的的的的的的的的的的的的的的",
        "🌊" * 30,
        "!" * 64,
        "I am\nI am\nI AM\nI am\nI am\nI am\nI am",
        "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
        "1" * 60,
    ],
)
def test_a_loop_covers_nearly_all_of_the_answer(text: str) -> None:
    """Whatever the script and the phrase, a stuck model is over the critical limit."""
    assert repetition(text) > 0.8


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes.",
        "No, no, no!",
        "ha ha ha",
        "Red\nBlue\nGreen",
        "1. Red\n2. Blue\n3. Green\n4. White",
        "- I like cats.\n- I like dogs.\n- I like birds.\n- I like fish.",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
        "1 1 2 3 5 8 13 21 34 55 89 144",
        "2 x 1 = 2, 2 x 2 = 4, 2 x 3 = 6, 2 x 4 = 8",
        "3.3333333333333333",
        "1,000,000,000,000,000",
        "100000000000000000",
        "Row, row, row your boat. Merrily, merrily, merrily, merrily, life is but a dream.",
        "Twinkle, twinkle, little star, how I wonder what you are.",
        '[{"name": "Ada", "age": 36}, {"name": "Bob", "age": 41}, {"name": "Eve", "age": 29}]',
        "| day | tide |\n| --- | --- |\n| Monday | high |\n| Tuesday | low |",
        "The sea is salty because it contains a high concentration of salt, which is a",
    ],
)
def test_harmless_repeats_stay_below_the_mild_limit(text: str) -> None:
    """Lists, rhymes, digits, tables and very short answers are no loops."""
    assert repetition(text) < 0.5


def test_the_ratio_is_the_share_of_the_text() -> None:
    """24 characters of a loop in an answer of 48 are half of it."""
    assert repetition("Seven ships left today. " + "ahoy! " * 3 + "ahoy!!") == 0.5


def test_an_endless_answer_is_read_in_part() -> None:
    """A model that ignores its limit cannot hold up the smoke test."""
    assert repetition("ahoy " * 1_000_000) == 1.0


@given(st.text())
def test_the_ratio_is_a_ratio(text: str) -> None:
    """No text is covered by more than itself, or by less than nothing."""
    assert 0 <= repetition(text) <= 1
