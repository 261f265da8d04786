"""A gate has one wording, wherever people read it."""

from pathlib import Path

import pytest

from slipway.evaluation import gates
from slipway.evaluation.decision import judge
from slipway.evaluation.outcome import candidate_outcome
from slipway.report import plan
from slipway.report.document import description, markdown
from slipway.report.markdown import escape
from slipway.system.store import Store
from slipway.values import Estimate, GateLimits, GateResult, Metric
from tests.support.summaries import entry, rejected, weights

RULE = "at most 10 % above the source"
WORDS = f"size_bytes is 342 MB, must be {RULE} (296 MB)"


def gate(
    limits: GateLimits, observed: Estimate | None, metric: Metric = "size_bytes", base: float = 100
) -> GateResult:
    """Return the only gate of these limits; source and champion have the figure ``base``."""
    known = {metric: Estimate.exact(base)}
    figures = {} if observed is None else {metric: observed}
    (result,) = gates.weigh({metric: limits}, figures, source=known, champion=known)
    return result


def test_report_candidates_verdict_and_description_word_a_gate_alike() -> None:
    """The words of a failed gate are found in one piece in each of them."""
    release = rejected()
    outcome = candidate_outcome(release.selection.chosen, release.selection)

    assert WORDS in judge(release.report, release.gates).reasons
    assert outcome.reason.endswith(WORDS)
    assert markdown(release, "p").count(escape(WORDS)) == 3  # verdict, candidate, next step
    assert escape(WORDS) in description(release)


def test_a_plan_and_the_gates_table_word_a_rule_alike(tmp_path: Path) -> None:
    """A plan does not know the source's figure yet, but all before it is the same."""
    release = rejected()
    found = plan.make(
        entry(), weights().revision, Store(tmp_path / "store"), {}, prompts=(), exists=False
    )

    for each in release.gates:
        rule = found.gates["int8"][each.metric]
        assert each.rule.removesuffix(" (296 MB)") in rule.split(" and ")
        assert f"(`{each.metric}`) | {each.rule} |" in markdown(release, "p")


@pytest.mark.parametrize(
    ("limits", "metric", "words"),
    [
        (GateLimits(max=342_000_000), "size_bytes", "at most 342 MB"),
        (GateLimits(min=0.9995), "top1_agreement", "at least 99.95 %"),
        (GateLimits(max=30_000), "median_latency_ms", "at most 30 s"),
        (
            GateLimits(max_degradation_vs_champion=0.2),
            "tokens_per_second",
            "at most 20 % below the champion (80 tokens/s)",
        ),
        (
            GateLimits(max_degradation_vs_source=0.025),
            "size_bytes",
            "at most 2.5 % above the source (102 Bytes)",
        ),
    ],
)
def test_a_limit_has_the_unit_of_its_figure(limits: GateLimits, metric: Metric, words: str) -> None:
    """A share is resolved to the figure that it allows."""
    assert gate(limits, Estimate.exact(1), metric).rule == words


@pytest.mark.parametrize(
    ("observed", "metric", "words"),
    [
        (None, "kl_mean", "kl_mean is not measured, must be at least 12"),
        (
            Estimate(value=12, low=11, high=13),
            "kl_mean",
            "kl_mean is 12 (11 to 13), must be at least 12: the 95 % interval includes the limit",
        ),
        (
            Estimate.exact(3),
            "answered_prompts",
            "answered_prompts is 3, must be at least 12: too few to decide",
        ),
        (
            Estimate(value=-1, low=-1, high=20),
            "kl_mean",
            "kl_mean is -1 (-1 to 20), must be at least 12: such a figure is impossible",
        ),
        (
            Estimate.exact(3),
            "kl_mean",
            "kl_mean is 3, must be at least 12: too good to be plausible",
        ),
        (Estimate.exact(3), "top1_agreement", "top1_agreement is 300 %, must be at least 1,200 %"),
    ],
)
def test_an_inconclusive_gate_says_why(
    observed: Estimate | None, metric: Metric, words: str
) -> None:
    """A failed one needs no more than figure and limit."""
    assert gates.in_words(gate(GateLimits(min=12), observed, metric)) == words


def test_a_gate_without_a_base_says_what_is_missing() -> None:
    """A champion from before the figure was measured is no limit."""
    limits = GateLimits(max_degradation_vs_champion=0.1)
    observed = {"kl_mean": Estimate.exact(1)}
    (result,) = gates.weigh({"kl_mean": limits}, observed, source={}, champion={})

    assert gates.in_words(result) == (
        "kl_mean is 1, must be at most 10 % above the champion: "
        "the figure to compare it with is unknown"
    )
