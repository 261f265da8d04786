"""The figures and answers of a release."""

import json
import math
from typing import Any

import pytest

from slipway.evaluation.units import count, duration, figure, limit, percent, size, speed
from slipway.report.answers import predictions
from slipway.tracking import metrics
from slipway.tracking.metrics import figures_of, numbers
from slipway.values import Estimate, Prediction
from tests.support.summaries import ANSWERS, asked, promoted, rejected, summary, unasked


def test_metrics_are_flat_and_carry_their_units() -> None:
    """Every number of the report is in the file ``figures.json``."""
    expected = {
        "weights.size_bytes": 269_060_552,
        "weights.parameters": 134_515_008,
        "size_ratio": pytest.approx(0.509, abs=1e-3),
        "build.seconds": 54.2,
        "build.peak_memory_bytes": 2_104_000_000,
        "onnx.size_bytes": 140_000_000,
        "onnx.checks_passed": 6,
        "onnx.checks_failed": 1,
        "onnx.checks_undecided": 0,
        "onnx.load_seconds": 2.14,
        "onnx.median_latency_ms": 413.5,
        "onnx.tokens_per_second": 31.4,
        "onnx.peak_memory_bytes": 612_000_000,
        "onnx.prompts_answered": 8,
    }

    figures = numbers(summary(asked("onnx", checks=rejected().report.onnx.checks)))

    assert expected.items() <= figures.items()
    assert len([name for name in figures if name.startswith("transformers.")]) == 9


def test_the_chosen_candidates_figures_stand_under_their_own_names() -> None:
    """As the catalogue names them, each with its interval."""
    figures = numbers(promoted())

    assert figures["kl_mean"] == 0.0041
    assert (figures["kl_mean.low"], figures["kl_mean.high"]) == (0.0036, 0.0047)
    assert figures["kl_mean.on.german"] == pytest.approx(0.00574)
    assert figures["size_bytes"] == 136_951_821
    assert "size_bytes.low" not in figures
    assert figures["tokens_per_second"] == 31.4


def test_figures_come_back_as_they_were_written() -> None:
    """A later release compares itself with what this one left in MLflow."""
    release = promoted()
    known = release.selection.chosen.evaluation.figures

    found = figures_of(metrics.tags(metrics.figures(release)), {})

    assert {name: figure for name, figure in found.items() if name in known} == known
    assert found.keys() - known.keys() == {
        "answered_prompts",
        "answer_length_ratio",
        "median_latency_ms",
        "tokens_per_second",
    }


def test_metrics_are_the_figures_that_people_compare() -> None:
    """MLflow draws a chart for each of them; energy is not measured on every machine."""
    found = metrics.metrics(metrics.figures(promoted()))

    assert list(found) == [each for each in metrics.COMPARED if each != "joules_per_1000_tokens"]
    assert (found["kl_mean"], found["tokens_per_second"]) == (0.0041, 31.4)


def test_figures_of_an_earlier_release_are_read_from_its_metrics() -> None:
    """It wrote every figure as a metric, and both ends of its interval."""
    written = {"kl_mean": 0.2, "kl_mean.low": 0.1, "kl_mean.high": 0.3, "onnx.load_seconds": 2.0}

    assert figures_of({}, written) == {"kl_mean": Estimate(value=0.2, low=0.1, high=0.3)}


def test_figures_of_a_candidate_that_was_not_built_are_none() -> None:
    """Nothing is made up for it."""
    *_, not_built = promoted().selection.candidates

    assert metrics.metrics(not_built.evaluation.figures) == {}
    assert figures_of(metrics.tags(not_built.evaluation.figures), {}) == {}


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_metrics_leave_out_what_was_not_measured(missing: float | None) -> None:
    """MLflow would keep a NaN as if it were a figure."""
    figures = numbers(summary(asked("onnx", tokens_per_second=missing)))

    assert "onnx.tokens_per_second" not in figures
    assert all(math.isfinite(value) for value in figures.values())
    assert figures["transformers.tokens_per_second"] == 19.8


def test_metrics_of_a_wrapper_that_could_not_be_asked_claim_no_answer() -> None:
    """There is no latency of 0 ms."""
    figures = [name for name in numbers(unasked()) if name.startswith("onnx.")]

    assert "median_latency_ms" not in numbers(unasked())
    assert figures == [
        "onnx.size_bytes",
        "onnx.checks_passed",
        "onnx.checks_failed",
        "onnx.checks_undecided",
    ]


def by_column(table: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the columns of a table as MLflow stores it."""
    columns = zip(*table["data"], strict=True)
    return dict(zip(table["columns"], map(list, columns), strict=True))


def test_predictions_hold_every_answer_of_both_wrappers_in_full() -> None:
    """MLflow shows columns; they are of one length and in the suite's order."""
    columns = by_column(predictions(promoted()))

    assert columns["wrapper"] == ["onnx"] * 8 + ["transformers"] * 8
    assert columns["prompt_id"] == [*ANSWERS] * 2
    assert columns["answer"] == [*ANSWERS.values()] * 2
    assert columns["finish_reason"] == [None] * 8 + ["stop"] * 8
    assert columns["latency_ms"] == [*range(410, 418), *range(688, 696)]
    assert columns["error"] == [None] * 16


def test_predictions_show_a_response_that_holds_no_text_as_it_came() -> None:
    """Somebody who looks for the fault has to see what came back."""
    odd = Prediction(prompt_id="capital", response='{"oops": 1}', latency_ms=5)
    failed = Prediction(prompt_id="emoji", response=None, latency_ms=1, error="ValueError: no")
    table = predictions(summary(asked("onnx", predictions=(odd, failed))))
    columns = by_column(table)

    assert columns["answer"][:2] == ['{"oops": 1}', None]
    assert columns["error"][:2] == [None, "ValueError: no"]
    assert json.loads(json.dumps(table)) == table


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (size(269_060_552), "269 MB"),
        (size(7_642_159_104), "7.64 GB"),
        (size(999), "999 Bytes"),
        (size(999_999), "1 MB"),
        (size(None), "not measured"),
        (duration(0.41), "410 ms"),
        (duration(30), "30 s"),
        (duration(200.4), "3 minutes and 20 seconds"),
        (duration(math.nan), "not measured"),
        (count(3_821_079_552), "3.82 billion"),
        (count(29_440), "29.4 thousand"),
        (speed(math.inf), "not measured"),
        (percent(1.1), "110 %"),
        (figure("kl_mean", Estimate(value=0.57, low=0.531, high=0.612)), "0.57 (0.531 to 0.612)"),
        (figure("perplexity_ratio", Estimate.exact(1.0042)), "1.004"),
        (figure("compared_tokens", Estimate.exact(6144)), "6,144"),
        (figure("top1_agreement", Estimate.exact(0.66)), "66 %"),
        (figure("perplexity_ratio", Estimate.exact(0.98392)), "0.984"),
        (figure("kl_mean", None), "not measured"),
        (figure("kl_mean", Estimate.exact(math.nan)), "not measured"),
        (limit("size_bytes", 342_000_000), "342 MB"),
        (limit("median_latency_ms", 30_000), "30 s"),
        (limit("top1_agreement", 0.9995), "99.95 %"),
        (limit("perplexity_ratio", 1.0005), "1.0005"),
        (limit("kl_mean", 1e-6), "1e-06"),
        (limit("compared_tokens", 4000), "4,000"),
    ],
)
def test_figures_have_three_digits_and_a_unit(shown: str, expected: str) -> None:
    """People compare figures best when these are short."""
    assert shown == expected
