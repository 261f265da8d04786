"""A candidate is promoted only if everything was checked and measured, and passed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.evaluation.decision import final_gates, judge
from slipway.evaluation.gates import in_words
from slipway.values import (
    Champion,
    CheckResult,
    Estimate,
    GateLimits,
    GateResult,
    Gates,
    GateState,
    Inconclusive,
    Metric,
    Prediction,
    Promoted,
    Rejected,
    SmokeReport,
    WrapperReport,
)
from tests.support.scored_candidates import selection
from tests.support.summaries import artifact, asked, passed

SUITE = passed("onnx")
PARITY = (CheckResult(name="the same tokens", severity="critical", passed=True),)


def gate(state: str = "pass", **fields: Any) -> GateResult:
    """Return what a critical gate on the KL divergence said."""
    base = {"metric": "kl_mean", "rule": "at most 0.02", "limit": 0.02, "severity": "critical"}
    observed = Estimate(value=0.57, low=0.52, high=0.61)
    return GateResult(**{**base, "state": state, "observed": observed, **fields})


def check(passed: bool | None, **fields: Any) -> CheckResult:
    """Return one more critical check, with this result."""
    return CheckResult(
        **{"name": "no answer loops", "severity": "critical", "passed": passed, **fields}
    )


def onnx(*checks: CheckResult, **changes: Any) -> WrapperReport:
    """Return the report of an ONNX wrapper that does well, with more checks or other answers."""
    return asked("onnx", checks=(*SUITE, *checks), **changes)


def report(
    onnx_: WrapperReport | None = None,
    transformers: WrapperReport | None = None,
    parity: tuple[CheckResult, ...] = PARITY,
) -> SmokeReport:
    """Return the smoke test of a candidate that does well, with these changes."""
    return SmokeReport(
        onnx=onnx_ or onnx(), transformers=transformers or asked("transformers"), parity=parity
    )


def unasked(error: str | None = "it hung") -> WrapperReport:
    """Return the report of a wrapper that could not be asked."""
    return WrapperReport(wrapper=onnx().wrapper, answers=None, checks=(), error=error)


def test_a_candidate_without_fault_or_doubt_may_serve() -> None:
    """The reason counts what passed."""
    assert judge(report(), (gate(), gate())) == Promoted(
        reasons=("all 13 checks and 2 gates pass",)
    )


def test_a_reason_names_five_prompts_and_counts_the_others() -> None:
    """A suite may have hundreds; the release's JUnit file names all of them."""
    every = tuple(f"prompt-{number}" for number in range(1, 201))

    verdict = judge(report(onnx(check(False, failing=every))), (gate(),))

    named = "prompt-1, prompt-2, prompt-3, prompt-4, prompt-5 and 195 more"
    assert verdict == Rejected(reasons=(f'"no answer loops" failed for onnx ({named})',))


def test_a_warning_is_shown_and_does_not_block() -> None:
    """Neither a failed one nor an undecided one, of a check or of a gate."""
    failed = check(False, severity="warning", failing=("joke", "poem"))
    undecided = check(None, name="no answer is long", severity="warning")

    verdict = judge(report(onnx(failed, undecided)), (gate(), gate("fail", severity="warning")))

    assert verdict == Promoted(
        reasons=(
            "all critical checks and gates pass",
            'warning: "no answer loops" failed for onnx (joke, poem)',
            'warning: "no answer is long" is inconclusive for onnx',
            "warning: kl_mean is 0.57 (0.52 to 0.61), must be at most 0.02",
        )
    )


def test_what_an_entry_accepts_unmeasured_is_judged_by_the_reference_alone() -> None:
    """The reason says so first; without the entry's word, the same report is inconclusive."""
    seen = report(unasked("no cuda"), parity=())

    assert judge(seen, (), "made for cuda") == Promoted(
        reasons=(
            "all critical checks and gates pass",
            "warning: not measured, as the entry accepts: made for cuda",
        )
    )
    assert isinstance(judge(seen, (gate(),)), Inconclusive)
    assert isinstance(judge(seen, (gate("fail"),), "made for cuda"), Rejected)


@pytest.mark.parametrize(
    ("faulty", "gates", "reason"),
    [
        pytest.param(
            report(onnx(check(False, failing=("joke",), observed="ha ha ha"))),
            (gate(),),
            '"no answer loops" failed for onnx: ha ha ha (joke)',
            id="critical check",
        ),
        pytest.param(
            report(transformers=asked("transformers", checks=(check(False),))),
            (gate(),),
            '"no answer loops" failed for transformers',
            id="critical check of the reference, nothing observed",
        ),
        pytest.param(
            report(parity=(check(False, name="the same tokens", observed="a doubled BOS"),)),
            (gate(),),
            '"the same tokens" failed for both wrappers: a doubled BOS',
            id="the wrappers differ",
        ),
        pytest.param(
            report(),
            (gate("fail"),),
            "kl_mean is 0.57 (0.52 to 0.61), must be at most 0.02",
            id="gate",
        ),
    ],
)
def test_any_single_failure_rejects_the_candidate_and_says_why(
    faulty: SmokeReport, gates: tuple[GateResult, ...], reason: str
) -> None:
    """The reason names figure and limit, or check and prompts."""
    assert judge(faulty, gates) == Rejected(reasons=(reason,))


@pytest.mark.parametrize(
    ("doubtful", "gates", "reason"),
    [
        pytest.param(
            report(onnx(check(None, failing=("joke",)))),
            (gate(),),
            '"no answer loops" is inconclusive for onnx (joke)',
            id="undecided check",
        ),
        pytest.param(
            report(),
            (gate("inconclusive", observed=Estimate(value=0.02, low=0.01, high=0.03)),),
            "kl_mean is 0.02 (0.01 to 0.03), must be at most 0.02: "
            "the 95 % interval includes the limit",
            id="the interval straddles the limit",
        ),
        pytest.param(
            report(),
            (gate("inconclusive", observed=None),),
            "kl_mean is not measured, must be at most 0.02",
            id="not measured",
        ),
        pytest.param(report(), (), "no gate was evaluated", id="no gate at all"),
        pytest.param(
            report(parity=()), (gate(),), "the wrappers were not compared", id="no comparison"
        ),
        pytest.param(
            report(unasked()), (gate(),), "onnx could not be asked: it hung", id="wrapper error"
        ),
        pytest.param(
            report(unasked(None)),
            (gate(),),
            "onnx could not be asked: no answers",
            id="no answers, no error",
        ),
        pytest.param(
            report(transformers=asked("transformers", checks=())),
            (gate(),),
            "transformers: no check was run",
            id="no checks",
        ),
    ],
)
def test_any_single_doubt_is_inconclusive_and_says_why(
    doubtful: SmokeReport, gates: tuple[GateResult, ...], reason: str
) -> None:
    """What was not measured or not decided is never taken for good."""
    assert judge(doubtful, gates) == Inconclusive(reasons=(reason,))


def test_a_failure_outweighs_a_doubt() -> None:
    """With both, the candidate is rejected, since measuring again would not help."""
    verdict = judge(report(onnx(check(None))), (gate("fail"), gate("inconclusive")))

    assert verdict == Rejected(reasons=(in_words(gate("fail")),))


def test_all_reasons_are_given_at_once() -> None:
    """A person sees everything that has to change."""
    verdict = judge(report(onnx(check(False), check(False))), (gate("fail"), gate("fail")))

    assert isinstance(verdict, Rejected)
    assert len(verdict.reasons) == 4


def test_the_smoke_test_adds_gates_on_what_was_answered() -> None:
    """Its figures are known only now, and are held against limits of the same entry."""
    own = Gates(median_latency_ms=GateLimits(max=5))
    slow = onnx(predictions=(Prediction(prompt_id="a", response='"x"', latency_ms=6),))

    results = final_gates(own, selection(artifact()), report(slow), None)

    states = {each.metric: each.state for each in results}
    assert states["median_latency_ms"] == "fail"
    assert states["answered_prompts"] == "inconclusive"
    assert states["tokens_per_second"] == "pass"
    assert states["kl_mean"] == "pass"


def counted(prompts: int, champions: dict[Metric, Estimate]) -> GateState:
    """Return the state of the gate that compares how many prompts both were asked."""
    figures = Champion(wrapper=onnx().wrapper, run_id="1", figures=champions)
    answered = tuple(
        Prediction(prompt_id=f"{number}", response='"x"', latency_ms=6) for number in range(prompts)
    )
    again = report(onnx(predictions=answered)).model_copy(
        update={"champion": onnx(predictions=answered)}
    )
    results = final_gates(Gates(), selection(artifact()), again, figures)
    (state,) = [
        each.state
        for each in results
        if each.metric == "answered_prompts" and "champion" in each.rule
    ]
    return state


def test_a_suite_that_was_shortened_since_the_champions_release_is_a_doubt() -> None:
    """The champion is asked the shortened suite too, so its own release has to be remembered."""
    assert counted(180, {"answered_prompts": Estimate.exact(200)}) == "pass"
    assert counted(20, {"answered_prompts": Estimate.exact(200)}) == "inconclusive"


def test_a_champion_of_unknown_suite_shortens_nothing() -> None:
    """One that somebody registered by hand."""
    assert counted(12, {}) == "pass"


@pytest.mark.parametrize(
    ("speed", "state"), [(40.0, "pass"), (21.0, "pass"), (19.0, "fail"), (None, "inconclusive")]
)
def test_the_speed_of_answers_is_compared_with_the_champions_of_now(
    speed: float | None, state: GateState
) -> None:
    """What the champion's own release measured, on another day, decides nothing."""
    long_ago = Champion(
        wrapper=onnx().wrapper,
        run_id="1",
        figures={
            "tokens_per_second": Estimate.exact(400),
            "champion_speed_ratio": Estimate.exact(9),
        },
    )
    both = report(onnx(tokens_per_second=speed)).model_copy(
        update={"champion": onnx(tokens_per_second=40.0)}
    )

    results = final_gates(Gates(), selection(artifact()), both, long_ago)

    (found,) = [each for each in results if each.metric == "champion_speed_ratio"]
    assert (found.state, found.severity, found.rule) == (state, "warning", "at least 0.5")


def test_without_another_champion_no_speed_is_compared() -> None:
    """A first release has none, and a version is not compared with itself."""
    results = final_gates(Gates(), selection(artifact()), report(), None)

    assert "champion_speed_ratio" not in {each.metric for each in results}


CHECKS = st.lists(
    st.builds(
        CheckResult,
        name=st.just("a check"),
        severity=st.sampled_from(["critical", "warning"]),
        passed=st.sampled_from([True, True, True, False, None]),
    ),
    max_size=4,
)
GATES = st.lists(
    st.builds(
        gate,
        st.sampled_from(["pass", "pass", "fail", "inconclusive"]),
        severity=st.sampled_from(["critical", "warning"]),
    ),
    max_size=4,
)


@settings(max_examples=500, deadline=None)
@given(checks=st.tuples(CHECKS, CHECKS, CHECKS), gates=GATES)
def test_only_a_candidate_without_fault_or_doubt_is_promoted(
    checks: tuple[list[CheckResult], list[CheckResult], list[CheckResult]], gates: list[GateResult]
) -> None:
    """It is promoted exactly when something was seen and every critical part of it is good."""
    serving, reference, parity = (tuple(each) for each in checks)
    seen = report(
        asked("onnx", checks=serving), asked("transformers", checks=reference), parity=parity
    )

    verdict = judge(seen, tuple(gates))

    critical = [each.passed for part in checks for each in part if each.severity == "critical"]
    critical += [each.state == "pass" for each in gates if each.severity == "critical"]
    assert isinstance(verdict, Promoted) == (all(critical) and all(checks) and bool(gates))


def test_a_verdict_in_brief_fits_a_screen() -> None:
    """The first reasons, each cut to two lines; the rest is counted."""
    few, many = Promoted(reasons=("one", "two")), Rejected(reasons=("word " * 99, *"abcdef"))

    assert few.brief == ("one", "two")
    assert many.brief[1:] == ("a", "b", "c", "and 3 more in the report")
    assert len(many.brief[0]) <= 200
    assert many.brief[0].endswith("word …")
