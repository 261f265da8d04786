"""The suites of the project find the fault that was planted, and no other."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from slipway.checks.suites import check
from slipway.values import Answers, CheckResult, Prediction
from tests.support.healthy_answers import (
    PROMPTS,
    TEXT,
    answers,
    completion,
    healthy,
    predicted,
    prompt,
    texts,
)

SUITES = Path(__file__).parents[2] / "expectations"
WITHOUT_USAGE = {key: part for key, part in completion().items() if key != "usage"}
LOOP = "The ferry leaves at nine. " * 6
MILD = "The harbour of this town wakes early, and then: " + "ahoy, ahoy, " * 6
OFF_BY_ONE = completion() | {
    "usage": {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 20}
}
NAN = completion() | {
    "usage": {"prompt_tokens": 12, "completion_tokens": math.nan, "total_tokens": 19}
}


def found(answers_: Answers) -> list[CheckResult]:
    """Return the checks that did not pass."""
    return [each for each in check(answers_, PROMPTS, SUITES) if each.passed is not True]


@pytest.mark.parametrize(
    ("answers_", "count"),
    [
        pytest.param(healthy(), 16, id="onnx, chat"),
        pytest.param(healthy(kind="transformers"), 15, id="transformers, chat"),
        pytest.param(texts(), 12, id="onnx, prompt"),
    ],
)
def test_a_healthy_wrapper_passes_every_check(answers_: Answers, count: int) -> None:
    """Nothing is found, nothing is undecided; stop texts are checked where they are passed."""
    actual = check(answers_, PROMPTS, SUITES)

    assert len(actual) == count
    assert {(each.passed, each.failing, each.observed) for each in actual} == {(True, (), "")}


@pytest.mark.parametrize(
    ("fault", "name", "observed"),
    [
        pytest.param(
            predicted("ferry", [completion()]),
            "every answer is a chat completion",
            "$: [{'id': 'chatcmpl-1', 'object' is not of type 'object'",
            id="wrong shape",
        ),
        pytest.param(
            predicted("ferry", WITHOUT_USAGE),
            "every answer is a chat completion",
            "$: 'usage' is a required property",
            id="missing field",
        ),
        pytest.param(
            predicted("ferry", completion(reason="eos")),
            "every answer is a chat completion",
            "$.choices[0].finish_reason: 'eos' is not one of ['stop', 'length']",
            id="finish reason that the contract does not know",
        ),
        pytest.param(
            predicted("ferry", completion() | {"model": "/home/somebody/model"}),
            "every answer is a chat completion",
            "$.model: '/home/somebody/model' does not match",
            id="path for a name",
        ),
        pytest.param(
            predicted("ferry", None, response="Madrid"),
            "every answer is JSON",
            "response='Madrid'",
            id="no JSON",
        ),
        pytest.param(
            predicted("ferry", NAN), "every answer is JSON", 'response=\'{"id"', id="NaN for tokens"
        ),
        pytest.param(
            predicted("ferry", completion(""), latency_ms=5),
            "every answer says something",
            "''",
            id="empty answer",
        ),
        pytest.param(
            predicted("ferry", completion(" \n")),
            "every answer says something",
            "' \\n'",
            id="blank answer",
        ),
        pytest.param(
            predicted("ferry", OFF_BY_ONE),
            "the token counts add up",
            "prompt_tokens=12, completion_tokens=7, total_tokens=20",
            id="usage off by one",
        ),
        pytest.param(
            predicted("ferry", completion(reason="length")),
            "the finish reason is true",
            "finish_reason='length', completion_tokens=7",
            id="claims the limit",
        ),
        pytest.param(
            predicted("ferry", completion(tokens=21)),
            "the finish reason is true",
            "finish_reason='stop', completion_tokens=21",
            id="claims to have ended",
        ),
        pytest.param(
            predicted("stops", completion("From nine to ten.")),
            "no answer holds its stop text",
            "output='From nine to ten.'",
            id="leaked stop text",
        ),
        pytest.param(
            predicted("ferry", completion(LOOP)),
            "hardly any answer is a loop",
            "longest_repeat_ratio=1, output='The ferry",
            id="loop",
        ),
        pytest.param(
            predicted("ferry", completion(MILD)),
            "no answer repeats itself for half its length",
            "longest_repeat_ratio=0.6",
            id="mild repetition",
        ),
        pytest.param(
            predicted("twice", completion(), repeated=json.dumps(completion("At ten."))),
            "asked again, the answer is the same",
            f"output='{TEXT}'",
            id="not deterministic",
        ),
        pytest.param(
            Prediction(prompt_id="ferry", response=None, latency_ms=1, error="ValueError: no\x1b"),
            "every prompt is answered without an error",
            "'ValueError: no\\x1b'",
            id="error",
        ),
        pytest.param(
            predicted("ferry", completion(), latency_ms=math.nan),
            "the time of every answer was measured",
            "None",
            id="NaN for a time",
        ),
        pytest.param(
            predicted("ferry", completion(), latency_ms=12_565.754845),
            "every answer takes at most 10 seconds",
            "12.6 s",
            id="slow",
        ),
        pytest.param(
            predicted("ferry", completion("The \ufffd ferry")),
            "no answer holds a replacement character before its end",
            "'The \ufffd ferry'",
            id="replacement character",
        ),
        pytest.param(
            predicted("ferry", completion("When does the next ferry leave?")),
            "no answer only repeats its question",
            "output='When does the next ferry leave?'",
            id="echo",
        ),
    ],
)
def test_a_planted_fault_is_found_by_its_check_alone(
    fault: Prediction, name: str, observed: str
) -> None:
    """Exactly one check fails; it names the prompt and shows what is wrong in one short line."""
    (actual,) = found(healthy(fault))

    assert (name, False, (fault.prompt_id,)) == (actual.name, actual.passed, actual.failing)
    assert actual.observed.startswith(observed)
    assert len(actual.observed.splitlines()) == 1
    assert len(actual.observed) <= 80


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        pytest.param(predicted("ferry", completion()), "every answer is a text", id="wrong shape"),
        pytest.param(predicted("ferry", None), "every answer is a text", id="null"),
        pytest.param(predicted("ferry", ""), "every answer says something", id="empty answer"),
        pytest.param(predicted("ferry", LOOP), "hardly any answer is a loop", id="loop"),
        pytest.param(
            predicted("twice", TEXT, repeated='"At ten."'),
            "asked again, the answer is the same",
            id="not deterministic",
        ),
    ],
)
def test_the_prompt_contract_is_checked_too(fault: Prediction, name: str) -> None:
    """A text has fewer facts, and each is checked."""
    (actual,) = found(texts(fault))

    assert (name, False, (fault.prompt_id,)) == (actual.name, actual.passed, actual.failing)


def test_a_missing_prediction_is_found_and_named() -> None:
    """An unanswered prompt fails, though it is not among the answers."""
    all_ = healthy()
    (actual,) = found(all_.model_copy(update={"predictions": all_.predictions[1:]}))

    assert actual.name == "every prompt is answered without an error"
    assert (actual.passed, actual.failing) == (False, ("ferry",))
    assert actual.observed == "'the wrapper returned no prediction'"


def test_a_prediction_too_many_is_found() -> None:
    """A prompt answered twice breaks the count, which belongs to no single prompt."""
    all_ = healthy()
    twice = all_.model_copy(update={"predictions": (*all_.predictions, all_.predictions[0])})
    (actual,) = found(twice)

    assert actual.name == "there is one answer to every prompt, and no other"
    assert (actual.passed, actual.failing, actual.observed) == (False, (), "8")


def test_a_wrapper_that_always_reports_stop_is_found() -> None:
    """One answer may end exactly at its limit; when many do, the reason is a lie."""
    cut = [predicted(each.id, completion(tokens=each.max_tokens)) for each in PROMPTS[3:]]
    (actual,) = found(healthy(*cut))

    assert actual.name == "few answers stop exactly at their token limit"
    assert actual.severity == "critical"
    assert found(healthy(cut[0])) == []


def test_a_character_may_be_cut_off_at_the_limit() -> None:
    """The last token may end within a character, which no wrapper can show."""
    assert (
        found(healthy(predicted("ferry", completion("The \ufffd", tokens=20, reason="length"))))
        == []
    )


def test_several_faults_are_all_named_in_the_suite_s_order() -> None:
    """A check names every prompt at fault, once, and the first explains it."""
    planted = [predicted(name, completion(LOOP)) for name in ("filler-2", "ferry")]
    planted.append(predicted("stops", OFF_BY_ONE))
    actual = found(healthy(*planted))
    expected = [
        ("the token counts add up", ("stops",)),
        ("hardly any answer is a loop", ("ferry", "filler-2")),
    ]

    assert expected == [(each.name, each.failing) for each in actual]


@pytest.mark.parametrize("prompts", [(), PROMPTS], ids=["nothing asked", "nothing answered"])
def test_nothing_at_all_passes_no_check_of_an_answer(prompts: tuple[Any, ...]) -> None:
    """Without answers, Great Expectations calls nearly everything a success; we do not."""
    actual = check(answers(), prompts, SUITES)
    passed = {each.name for each in actual if each.passed}

    assert passed == {"there is one answer to every prompt, and no other"}
    assert any(each.passed is None and each.severity == "critical" for each in actual)


def test_a_column_without_values_is_undecided() -> None:
    """If no prompt is repeated, determinism is undecided."""
    (actual,) = found(healthy(predicted("twice", completion())))
    expected = ("asked again, the answer is the same", None, "nothing to check")

    assert expected == (actual.name, actual.passed, actual.observed)


def test_wrappers_can_be_checked_side_by_side() -> None:
    """Great Expectations keeps its contexts apart, so releases in threads don't mix."""
    loop = predicted("ferry", completion(LOOP))
    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(found, [healthy(), healthy(loop), texts()] * 2))

    assert [len(each) for each in actual] == [0, 1, 0] * 2


def test_checking_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    """No progress bars, no tracebacks: the log of a release belongs to the release."""
    found(healthy())

    assert capfd.readouterr() == ("", "")


def test_of_many_answers_two_percent_may_be_loops() -> None:
    """A small model loops now and then, as its source does; of few answers, none may be one."""
    prompts = tuple(prompt(f"p{number}", max_tokens=20) for number in range(100))

    def loops(count: int) -> bool | None:
        said = [LOOP if number < count else TEXT for number in range(100)]
        predictions = (predicted(f"p{number}", text) for number, text in enumerate(said))
        checks = check(answers(*predictions, contract="prompt"), prompts, SUITES)
        (found,) = (each for each in checks if each.name == "hardly any answer is a loop")
        return found.passed

    assert [loops(0), loops(2), loops(3)] == [True, True, False]
