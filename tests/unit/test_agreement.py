"""Greedy answers of two wrappers are compared as far as both go."""

from typing import Any

import pytest

from slipway.checks.agreement import Pair, length_ratio, pairs, same_answers, same_ends
from slipway.values import Answers, Contract, Estimate, Prompt, VariantPrecision
from tests.support.healthy_answers import answers, completion, predicted, prompt

FERRY = prompt("ferry", max_tokens=8)
STOPS = prompt("ferry", max_tokens=8, stop=("nine",))
LONG = "The ferry leaves at nine. It is blue."


def reference(text: str, *, tokens: int = 5, reason: str = "stop") -> Answers:
    """Return what the transformers wrapper answered."""
    said = predicted("ferry", completion(text, tokens=tokens, reason=reason))
    return answers(said, kind="transformers")


def onnx(
    text: str, contract: Contract = "chat", *, tokens: int = 5, reason: str = "stop"
) -> Answers:
    """Return what the ONNX wrapper answered."""
    said: Any = completion(text, tokens=tokens, reason=reason) if contract == "chat" else text
    return answers(predicted("ferry", said), contract=contract)


def pair(ours: Answers, theirs: Answers, asked: Prompt = FERRY) -> Pair:
    """Put the two answers together."""
    (only,) = pairs(ours, theirs, (asked,))
    return only


@pytest.mark.parametrize("contract", ["chat", "prompt"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param("At nine.", "At nine.", id="equal"),
        pytest.param(" At nine.\n", "At nine.", id="whitespace around it"),
        pytest.param("At nine .", "At nine.", id="a space that MLflow tidies up"),
        pytest.param("At nin", "At nin\N{REPLACEMENT CHARACTER}", id="half a character"),
    ],
)
def test_what_no_reader_would_call_a_difference_is_none(
    contract: Contract, ours: str, theirs: str
) -> None:
    """The libraries decode in their own ways."""
    assert pair(onnx(ours, contract), reference(theirs)).same


@pytest.mark.parametrize(
    ("ours", "theirs", "asked"),
    [
        pytest.param(
            onnx(LONG, "prompt"),
            reference(LONG[:16], tokens=8, reason="length"),
            FERRY,
            id="the prompt contract has a longer limit",
        ),
        pytest.param(
            onnx("At nine.", tokens=8),
            reference("At nine.", tokens=8, reason="length"),
            FERRY,
            id="the last token of the limit was the end",
        ),
        pytest.param(
            onnx("The ferry leaves at "), reference(LONG), STOPS, id="only ONNX is told to stop"
        ),
        pytest.param(
            onnx("The ferry leaves at "),
            reference("The ferry leaves at ni", tokens=8, reason="length"),
            STOPS,
            id="the limit cut what would have been the stop text",
        ),
        pytest.param(onnx(LONG, "prompt"), reference(LONG), STOPS, id="nobody is told to stop"),
    ],
)
def test_an_answer_that_was_cut_is_no_difference(
    ours: Answers, theirs: Answers, asked: Prompt
) -> None:
    """Where a limit or a stop text ended it, nothing is known of what would have followed."""
    assert pair(ours, theirs, asked).same


@pytest.mark.parametrize(
    ("ours", "theirs", "goes_on", "ends_early"),
    [
        pytest.param(onnx(LONG), reference(LONG[:16]), True, False, id="goes on"),
        pytest.param(onnx(LONG, "prompt"), reference(LONG[:16]), True, False, id="in a text"),
        pytest.param(
            onnx("At nine.", tokens=8, reason="length"),
            reference("At nine."),
            True,
            False,
            id="goes on unseen, in special tokens",
        ),
        pytest.param(onnx(LONG[:16]), reference(LONG), False, True, id="ends early"),
        pytest.param(onnx(LONG[:16], "prompt"), reference(LONG), False, True, id="early, a text"),
        pytest.param(onnx("", "prompt"), reference(LONG), False, True, id="says nothing"),
        pytest.param(onnx("At ten."), reference("At nine."), False, False, id="something else"),
    ],
)
def test_a_different_end_is_distinguished_from_a_different_answer(
    ours: Answers, theirs: Answers, *, goes_on: bool, ends_early: bool
) -> None:
    """Only answers that agree as far as both go can end at different places."""
    both = pair(ours, theirs)

    assert (both.goes_on, both.ends_early, both.same) == (goes_on, ends_early, False)


@pytest.mark.parametrize(
    ("others", "ends", "passed", "severity"),
    [
        pytest.param(0, 4, True, "critical", id="none"),
        pytest.param(2, 2, False, "warning", id="all, but few"),
        pytest.param(3, 6, False, "warning", id="half"),
        pytest.param(3, 5, False, "critical", id="most"),
    ],
)
def test_most_ends_at_other_places_are_no_accident(
    others: int, ends: int, *, passed: bool, severity: str
) -> None:
    """Rounded weights may move an end now and then; a missed end token moves them all."""
    other, equal = pair(onnx(LONG), reference(LONG[:16])), pair(onnx(LONG), reference(LONG))
    check = same_ends((*[other] * others, *[equal] * (ends - others)))

    assert (check.passed, check.severity) == (passed, severity)
    assert check.failing == ("ferry",) * others
    assert check.observed == f"of {ends} ends, onnx continues after {others} and is early at 0"


def test_without_an_end_the_check_is_undecided() -> None:
    """As when every answer was cut, or none agrees; the end tokens are compared by themselves."""
    cut = pair(onnx(LONG, tokens=8, reason="length"), reference(LONG, tokens=8, reason="length"))

    assert [same_ends(seen).passed for seen in ((), (cut,))] == [None, None]
    assert same_ends((cut,)).severity == "warning"


@pytest.mark.parametrize(
    ("ours", "agreement"),
    [
        pytest.param(onnx("abcdefghij"), 1.0, id="equal"),
        pytest.param(onnx("abcdeXghij"), 0.5, id="parts half-way"),
        pytest.param(onnx("Xbcdefghij"), 0.0, id="parts at once"),
        pytest.param(onnx("abcde"), 0.5, id="ends half-way"),
        pytest.param(onnx("abcdefghijkl"), 1.0, id="says more"),
    ],
)
def test_agreement_is_the_share_of_the_reference_that_comes_first(
    ours: Answers, agreement: float
) -> None:
    """What comes after the first difference is chance."""
    assert pair(ours, reference("abcdefghij")).agreement == agreement


@pytest.mark.parametrize(("precision", "severity"), [("fp32", "critical"), ("int4", "warning")])
def test_only_exact_weights_have_to_answer_as_the_reference_does(
    precision: VariantPrecision, severity: str
) -> None:
    """How close rounded weights are is for their own gates to say."""
    one, other = (pair(onnx(text), reference("abcdefghij")) for text in ("abcdefghij", "Xbc"))
    check = same_answers((one, other, other, other), precision)

    assert (check.severity, check.passed) == (severity, False)
    assert check.observed == "1 of 4 are the same, 25% agree"


def test_without_answers_agreement_is_undecided() -> None:
    """A wrapper without answers agrees with none."""
    silent = answers(predicted("ferry", completion(), response=None))

    assert pairs(silent, reference("abc"), (FERRY,)) == ()
    assert same_answers((), "fp32").passed is None


@pytest.mark.parametrize(
    ("ours", "theirs", "ratio"),
    [
        pytest.param(onnx("ten letters"), reference("ten letters"), 1, id="equal"),
        pytest.param(onnx("ab" * 10), reference("ab" * 5), 2, id="twice as long"),
        pytest.param(onnx("ab"), reference("ab" * 5), 0.2, id="ends early"),
        pytest.param(
            onnx("ab" * 10, "prompt"),
            reference("ab" * 5, tokens=8, reason="length"),
            1,
            id="the prompt contract has a longer limit",
        ),
        pytest.param(
            onnx("ab" * 4, tokens=8, reason="length"),
            reference("cdefg" * 4, tokens=8, reason="length"),
            1,
            id="a limit cut both",
        ),
        pytest.param(
            onnx("ab"), reference("ab" * 5, tokens=8, reason="length"), 0.2, id="only ONNX ended"
        ),
    ],
)
def test_the_length_of_answers_is_compared_as_far_as_limits_allow(
    ours: Answers, theirs: Answers, ratio: float
) -> None:
    """With several prompts, the interval says how much the ratio depends on which were asked."""
    once = length_ratio((pair(ours, theirs),))
    mixed = length_ratio((pair(ours, theirs), pair(onnx("abcd"), reference("abcd"))))

    assert once == Estimate.exact(ratio)
    assert mixed is not None
    assert min(ratio, 1) <= mixed.low <= mixed.value <= mixed.high <= max(ratio, 1)


def test_a_reference_that_says_nothing_leaves_no_length_to_compare() -> None:
    """A figure that is unknown passes no gate."""
    assert length_ratio((pair(onnx("abc"), reference("")),)) is None
    assert length_ratio(()) is None
