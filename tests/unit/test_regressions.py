"""What the champion answers better is found, prompt by prompt."""

from pathlib import Path
from typing import Any

from slipway.checks import grading
from slipway.checks.regressions import CHAMPION, SOURCE, find, weigh
from slipway.system.process import ProcessLimits
from slipway.values import CheckResult, Contract, GateLimits, Regression, WrapperReport
from tests.support.healthy_answers import answers, completion, predicted, prompt
from tests.support.summaries import logged

LIMITS = ProcessLimits(timeout_seconds=1, memory_bytes=None, logs=Path())
PROMPTS = (prompt("capital", expected=("Madrid",)), prompt("sum", expected=("12", "twelve")))
RIGHT = {"capital": "It is Madrid.", "sum": "7 plus 5 is 12."}
SAYS = "every answer says something"
LOOPS = "hardly any answer is a loop"


def report(
    *checks: CheckResult, texts: dict[str, str | None] | None = None, contract: Contract = "chat"
) -> WrapperReport:
    """Return the smoke test of a wrapper that gave these answers; None is an error."""
    predictions = []
    for name, text in (RIGHT | (texts or {})).items():
        said: Any = completion(text or "") if contract == "chat" else text
        gone: dict[str, Any] = {} if text is not None else {"response": None, "error": "no answer"}
        predictions.append(predicted(name, said, **gone))
    said_all = answers(*predictions, contract=contract)
    (grades,) = grading.grade(PROMPTS, (said_all,), Path(), LIMITS)
    return WrapperReport(wrapper=logged("onnx"), answers=said_all, checks=checks, grades=grades)


def failed(name: str, *prompts: str, column: str = "output") -> CheckResult:
    """Return a check that these prompts failed."""
    return CheckResult(
        name=name, severity="warning", passed=not prompts, failing=prompts, column=column
    )


def whats(champion: WrapperReport, candidate: WrapperReport) -> dict[str, str]:
    """Return what was found, by prompt."""
    return {each.prompt_id: each.what for each in find(champion, candidate, PROMPTS)}


def test_a_candidate_that_answers_as_well_has_no_regression() -> None:
    """Other words, and other letter case, are as good."""
    candidate = report(texts={"capital": "MADRID, of course", "sum": "Twelve"})

    assert find(report(), candidate, PROMPTS) == ()


def test_an_expected_word_in_the_champions_answer_only_is_a_regression() -> None:
    """Both answers are in the result, to be read side by side."""
    (found,) = find(report(), report(texts={"sum": "It is 125."}), PROMPTS)

    assert found == Regression(
        prompt_id="sum",
        what="only the champion says '12' or 'twelve'",
        champion="7 plus 5 is 12.",
        candidate="It is 125.",
    )


def test_an_answer_that_only_the_champion_gives_is_a_regression() -> None:
    """Whatever its error was."""
    found = whats(report(), report(texts={"capital": None}))

    assert found == {"capital": "the champion answers, the candidate does not"}


def test_a_check_that_only_the_champion_passes_is_a_regression() -> None:
    """A warning too: each of them says something of the answer; what both fail is no news."""
    champion = report(failed(SAYS, "sum"), failed(LOOPS))
    candidate = report(failed(SAYS, "sum"), failed(LOOPS, "capital", "sum"))

    assert whats(champion, candidate) == {"capital": f"only the champion passes: {LOOPS}"}


def test_what_the_champion_does_not_know_either_is_no_regression() -> None:
    """A wrong answer, or none, in both."""
    wrong = report(texts={"capital": "It is Paris.", "sum": None})

    assert find(wrong, wrong, PROMPTS) == ()
    assert find(wrong, report(texts={"capital": "It is Rome."}), PROMPTS) == ()


def test_a_slow_moment_is_no_regression() -> None:
    """The time of an answer depends more on the machine than on the model."""
    name = "every answer takes at most 10 seconds"
    champion = report(failed(name, column="latency_ms"))

    assert find(champion, report(failed(name, "capital", column="latency_ms")), PROMPTS) == ()


def test_a_champion_of_the_other_contract_is_compared_in_what_both_know() -> None:
    """Its suite has other checks, and its answers are texts; the words count all the same."""
    champion = report(failed(SAYS), contract="prompt")
    candidate = report(failed("the finish reason is true", "capital"), texts={"sum": "None."})

    assert whats(champion, candidate) == {"sum": "only the champion says '12' or 'twelve'"}


def test_wrappers_without_answers_have_nothing_to_compare() -> None:
    """That the candidate could not is a finding of its own, which blocks it."""
    silent = WrapperReport(wrapper=logged("onnx"), answers=None, checks=(), error="it ended")

    assert find(silent, report(), PROMPTS) == find(report(), silent, PROMPTS) == ()


def weighed(base: WrapperReport | None, candidate: WrapperReport, **limits: Any) -> Any:
    """Return the check against the champion."""
    margin = GateLimits(**{"max": 0.05, **limits})
    return weigh(CHAMPION, base, candidate, PROMPTS, margin)


def test_lost_and_gained_prompts_become_one_check() -> None:
    """One lost and one gained; with so few prompts, a lost one alone is a doubt that blocks."""
    wrong = {"capital": "It is Paris."}
    (even,) = weighed(report(texts={"sum": "None."}), report(texts=wrong))
    (lost,) = weighed(report(), report(texts=wrong))

    assert (even.name, even.passed, even.failing) == (CHAMPION, True, ("capital",))
    assert even.observed.startswith("1 lost and 1 gained of 2 prompts: a loss of 0 points")
    assert (lost.passed, lost.severity) == (None, "critical")


def test_a_prompt_that_each_answers_better_in_one_respect_is_lost() -> None:
    """A passed check does not make up for a wrong answer."""
    champion = report(failed(LOOPS, "capital"))
    (check,) = weighed(champion, report(failed(LOOPS), texts={"capital": "It is Paris."}))

    assert check.observed.startswith("1 lost and 0 gained")


def test_prompts_without_a_right_answer_count_if_they_are_lost() -> None:
    """They have nothing else to lose."""
    without = (prompt("capital"), *PROMPTS[1:])
    (check,) = weigh(SOURCE, report(), report(), without, GateLimits(max=0.05))
    (lost,) = weigh(
        SOURCE, report(), report(texts={"capital": None}), without, GateLimits(max=0.05)
    )

    assert "of 1 prompts" in check.observed
    assert "of 2 prompts" in lost.observed


def test_a_margin_that_was_lifted_or_a_missing_side_leaves_nothing_to_check() -> None:
    """Of a candidate without answers, the decision says so itself."""
    silent = WrapperReport(wrapper=logged("onnx"), answers=None, checks=(), error="it ended")

    assert weighed(report(), report(), max=None) == ()
    assert weighed(None, report()) == weighed(report(), silent) == ()


def test_a_champion_without_answers_is_a_warning() -> None:
    """The candidate may be the very repair of it."""
    silent = WrapperReport(wrapper=logged("onnx"), answers=None, checks=(), error="it ended")
    (check,) = weighed(silent, report())

    assert (check.passed, check.severity) == (None, "warning")
    assert check.observed == "it could not be asked: it ended"
