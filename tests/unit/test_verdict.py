"""A candidate serves only if everything was checked, measured and found good."""

import math
from typing import Any

import pytest
from dossiers import asked, passed
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.values import (
    Check,
    Gates,
    Inconclusive,
    Keep,
    Prediction,
    Promote,
    SmokeReport,
    WrapperReport,
)
from slipway.verdict import judge, latencies_ms

GATES = Gates(
    max_median_latency_ms=1000, min_tokens_per_second=5, max_size_ratio=0.6, min_prompts=3
)
SUITE = passed("onnx")


def check(passed: bool | None, **fields: Any) -> Check:
    """Return one more critical check, with this result."""
    return Check(**{"name": "no answer loops", "severity": "critical", "passed": passed, **fields})


def timed(*latencies_ms: float, **changes: Any) -> tuple[Prediction, ...]:
    """Return an answer for each latency."""
    fields = {"prompt_id": "joke", "response": '"x"', **changes}
    return tuple(Prediction(**fields, latency_ms=latency_ms) for latency_ms in latencies_ms)


def onnx(*checks: Check, **changes: Any) -> WrapperReport:
    """Return the report of an ONNX wrapper that does well, with more checks or other figures."""
    figures: dict[str, Any] = {"predictions": timed(800, 900, 1000), "tokens_per_second": 5.0}
    return asked("onnx", checks=(*SUITE, *checks), **figures | changes)


def report(
    onnx_: WrapperReport | None = None,
    transformers: WrapperReport | None = None,
    size_ratio: float = 0.6,
) -> SmokeReport:
    """Return the smoke test of a candidate that is just good enough, with these changes."""
    return SmokeReport(
        onnx=onnx_ or onnx(),
        transformers=transformers or asked("transformers"),
        size_ratio=size_ratio,
    )


def unasked(error: str | None = "it hung") -> WrapperReport:
    """Return the report of a wrapper that could not be asked."""
    return WrapperReport(wrapper=onnx().wrapper, answers=None, checks=(), error=error)


def test_a_candidate_at_every_limit_may_serve() -> None:
    """A limit is kept by a figure that equals it; the reason says what it rests on."""
    assert judge(report(), GATES) == Promote(reasons=("all 12 checks and 3 limits hold",))


def test_a_warning_is_shown_and_does_not_block() -> None:
    """Neither a failed one nor an undecided one."""
    failed = check(False, severity="warning", failing=("joke", "poem"))
    undecided = check(None, name="no answer is long", severity="warning")

    verdict = judge(report(onnx(failed, undecided)), GATES)

    assert verdict == Promote(
        reasons=(
            "all 14 checks and 3 limits hold",
            "onnx warning: no answer loops (joke, poem)",
            "onnx warning: no answer is long",
        )
    )


@pytest.mark.parametrize(
    ("faulty", "reason"),
    [
        pytest.param(
            report(onnx(check(False, failing=("joke",), observed="ha ha ha"))),
            "onnx failed: no answer loops: ha ha ha (joke)",
            id="critical check",
        ),
        pytest.param(
            report(transformers=asked("transformers", checks=(check(False),))),
            "transformers failed: no answer loops",
            id="critical check of the reference, nothing observed",
        ),
        pytest.param(
            report(onnx(predictions=timed(1, 1001, 1002))),
            "median latency 1001 ms is over max_median_latency_ms = 1000",
            id="slow answers",
        ),
        pytest.param(
            report(onnx(tokens_per_second=4.94)),
            "4.9 tokens per second are under min_tokens_per_second = 5",
            id="slow generation",
        ),
        pytest.param(
            report(size_ratio=0.61),
            "0.61 of the source's size is over max_size_ratio = 0.6",
            id="large artifact",
        ),
    ],
)
def test_any_single_fault_keeps_the_champion_and_says_why(faulty: SmokeReport, reason: str) -> None:
    """The reason names figure and limit, or check and prompts."""
    assert judge(faulty, GATES) == Keep(reasons=(reason,))


@pytest.mark.parametrize(
    ("doubtful", "reason"),
    [
        pytest.param(
            report(onnx(check(None, failing=("joke",)))),
            "onnx no answer loops: could not be decided (joke)",
            id="undecided check",
        ),
        pytest.param(
            report(onnx(predictions=timed(math.nan, 1, 1))),
            "a latency was not measured",
            id="NaN latency",
        ),
        pytest.param(
            report(onnx(predictions=timed(-1, 1, 1))),
            "a latency was not measured",
            id="negative latency",
        ),
        pytest.param(
            report(onnx(tokens_per_second=None)),
            "tokens per second were not measured",
            id="no speed",
        ),
        pytest.param(
            report(onnx(tokens_per_second=math.inf)),
            "tokens per second were not measured",
            id="infinite speed",
        ),
        pytest.param(
            report(onnx(predictions=timed(1, 1))),
            "2 prompts were answered, min_prompts = 3",
            id="too few prompts",
        ),
        pytest.param(
            report(onnx(predictions=(*timed(1, 1), *timed(1, error="ValueError: no")))),
            "2 prompts were answered, min_prompts = 3",
            id="errors are no answers",
        ),
        pytest.param(
            report(onnx(predictions=(*timed(1, 1), *timed(1, response=None)))),
            "2 prompts were answered, min_prompts = 3",
            id="nothing is no answer",
        ),
        pytest.param(
            report(onnx(predictions=())),
            "0 prompts were answered, min_prompts = 3",
            id="no prompt at all",
        ),
        pytest.param(
            report(size_ratio=math.nan), "the size was not measured", id="NaN for the size"
        ),
        pytest.param(report(unasked()), "onnx could not be asked: it hung", id="wrapper error"),
        pytest.param(
            report(unasked(None)), "onnx could not be asked: no answers", id="no answers, no error"
        ),
        pytest.param(
            report(transformers=unasked().model_copy(update={"wrapper": asked("onnx").wrapper})),
            "onnx could not be asked: it hung",
            id="reference could not be asked",
        ),
        pytest.param(
            report(transformers=asked("transformers", checks=())),
            "transformers nothing was checked",
            id="no checks",
        ),
    ],
)
def test_any_single_doubt_is_inconclusive_and_says_why(doubtful: SmokeReport, reason: str) -> None:
    """What was not measured or not decided is never taken for good."""
    assert judge(doubtful, GATES) == Inconclusive(reasons=(reason,))


def test_a_certain_fault_outweighs_a_doubt() -> None:
    """With both, the champion is kept for the fault, since measuring again would not help."""
    wrapper = onnx(check(None), tokens_per_second=1)

    verdict = judge(report(wrapper, size_ratio=math.nan), GATES)

    assert verdict == Keep(reasons=("1.0 tokens per second are under min_tokens_per_second = 5",))


def test_an_impossible_figure_is_a_doubt_and_no_fault() -> None:
    """One NaN among the latencies makes their median say nothing."""
    wrapper = onnx(predictions=timed(5000, math.nan, 5000))

    assert judge(report(wrapper), GATES) == Inconclusive(reasons=("a latency was not measured",))


def test_all_reasons_are_given_at_once() -> None:
    """A person sees everything that has to change."""
    wrapper = onnx(check(False), predictions=timed(1500, 1500, 1500), tokens_per_second=1)

    verdict = judge(report(wrapper, size_ratio=2), GATES)

    assert isinstance(verdict, Keep)
    assert len(verdict.reasons) == 4


def test_latencies_are_those_of_answered_prompts() -> None:
    """A call that raised tells nothing about speed."""
    answers = onnx(predictions=(*timed(7), *timed(3, error="ValueError: no"))).answers
    assert answers is not None

    assert latencies_ms(answers) == (7,)


FIGURES = st.one_of(st.floats(), st.floats(min_value=0, max_value=2000))
CHECKS = st.lists(
    st.builds(
        Check,
        name=st.just("a check"),
        severity=st.sampled_from(["critical", "warning"]),
        passed=st.sampled_from([True, True, True, False, None]),
    ),
    max_size=4,
)


@settings(max_examples=500, deadline=None)
@given(
    both=st.tuples(CHECKS, CHECKS),
    times_ms=st.lists(FIGURES, max_size=5),
    speed=st.one_of(st.none(), FIGURES),
    size_ratio=st.one_of(FIGURES, st.floats(min_value=0, max_value=1)),
)
def test_only_a_candidate_without_fault_or_doubt_is_promoted(
    both: tuple[list[Check], list[Check]],
    times_ms: list[float],
    speed: float | None,
    size_ratio: float,
) -> None:
    """A critical check that did not pass, or a gated figure that is none, never promotes."""
    wrapper = asked(
        "onnx", checks=tuple(both[0]), predictions=timed(*times_ms), tokens_per_second=speed
    )
    reference = asked("transformers", checks=tuple(both[1]))

    verdict = judge(report(wrapper, reference, size_ratio), GATES)

    critical = [each.passed for checks in both for each in checks if each.severity == "critical"]
    figures = [*times_ms, speed, size_ratio]
    real = all(figure is not None and 0 <= figure < math.inf for figure in figures)
    allowed = real and all(critical) and all(both) and len(times_ms) >= GATES.min_prompts
    assert allowed or not isinstance(verdict, Promote)


@settings(max_examples=200, deadline=None)
@given(
    latency_ms=st.floats(min_value=0, max_value=1000),
    speed=st.floats(min_value=5, max_value=1e6),
    size_ratio=st.floats(min_value=0, max_value=0.6),
)
def test_a_candidate_within_its_limits_is_promoted(
    latency_ms: float, speed: float, size_ratio: float
) -> None:
    """The gates are no wall: whatever keeps them passes."""
    wrapper = onnx(predictions=timed(*[latency_ms] * 3), tokens_per_second=speed)

    assert isinstance(judge(report(wrapper, size_ratio=size_ratio), GATES), Promote)
