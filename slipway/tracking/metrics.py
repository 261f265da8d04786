"""The numbers of a release as MLflow metrics, and back."""

import re
from collections.abc import Iterator, Mapping
from statistics import median

from slipway.evaluation.gates import latencies_ms, smoke_figures
from slipway.evaluation.units import measured
from slipway.values import (
    METRICS,
    Answers,
    Estimate,
    Evaluation,
    Figures,
    Metric,
    ReleaseSummary,
    WrapperReport,
)

Numbers = dict[str, float | None]


_FORBIDDEN = re.compile(r"[^\w.-]+")  # in the name of a metric of MLflow


def metrics(summary: ReleaseSummary) -> dict[str, float]:
    """Return every figure of a release, for MLflow.

    Returns:
        Finite numbers by name. The chosen candidate's figures stand under their own names, such as
        ``kl_mean``, with their intervals as ``kl_mean.low`` and ``kl_mean.high``; the end of every
        other name is its unit, where it has one. What was not measured is left out.
    """
    artifact, weights = summary.artifact, summary.weights
    numbers: Numbers = {
        **_of_evaluation(summary.selection.chosen.evaluation),
        **_flat(smoke_figures(summary.report.onnx)),
        "size_ratio": size_ratio(summary),
        "weights.size_bytes": weights.stored.size_bytes,
        "weights.parameters": weights.parameters,
        "build.peak_memory_bytes": artifact.peak_memory_bytes,
    }
    for report in summary.report.wrappers:
        kind = report.wrapper.kind
        numbers |= {f"{kind}.{name}": value for name, value in _of_wrapper(report).items()}
    return _finite(numbers)


def candidate_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return the figures of one candidate under the same names, for a run of its own."""
    return _finite(_of_evaluation(evaluation))


def figures_of(metrics: Mapping[str, float]) -> Figures:
    """Return the figures of an MLflow run's metrics, with their intervals."""
    return {
        name: Estimate(
            value=metrics[name],
            low=metrics.get(f"{name}.low", metrics[name]),
            high=metrics.get(f"{name}.high", metrics[name]),
        )
        for name in METRICS
        if name in metrics
    }


def _finite(numbers: Numbers) -> dict[str, float]:
    found = {name: measured(value) for name, value in numbers.items()}
    return {name: float(value) for name, value in found.items() if value is not None}


def _of_evaluation(evaluation: Evaluation) -> Numbers:
    artifact = evaluation.built.artifact
    groups = evaluation.fidelity.kl_by_group if evaluation.fidelity else {}
    return {
        **_flat(evaluation.figures),
        **{f"kl_mean.on.{_FORBIDDEN.sub('-', group)}": kl for group, kl in groups.items()},
        "build.seconds": artifact.build_seconds if artifact else None,
    }


def _flat(figures: Figures) -> Numbers:
    return {name: value for metric in figures.items() for name, value in _ends(*metric)}


def _ends(name: Metric, figure: Estimate) -> Iterator[tuple[str, float]]:
    yield name, figure.value
    if figure.low < figure.high:
        yield f"{name}.low", figure.low
        yield f"{name}.high", figure.high


def _of_wrapper(report: WrapperReport) -> Numbers:
    """Return the figures of one wrapper, without its name before theirs."""
    figures: Numbers = {
        "size_bytes": report.wrapper.size_bytes,
        "checks_passed": checks_that(report, passed=True),
        "checks_failed": checks_that(report, passed=False),
        "checks_undecided": checks_that(report, passed=None),
    }
    if (answers := report.answers) is not None:
        figures |= {
            "load_seconds": answers.load_seconds,
            "median_latency_ms": median_latency_ms(answers),
            "tokens_per_second": answers.tokens_per_second,
            "peak_memory_bytes": answers.peak_memory_bytes,
            "prompts_answered": len(latencies_ms(answers)),
        }
    return figures


def size_ratio(summary: ReleaseSummary) -> float:
    """Return the bytes of the artifact over those of the source weights."""
    return summary.artifact.stored.size_bytes / summary.weights.stored.size_bytes


def median_latency_ms(answers: Answers) -> float | None:
    """Return the figure that the verdict holds against its limit; None without any answer."""
    times = latencies_ms(answers)
    return median(times) if times else None


def checks_that(report: WrapperReport, *, passed: bool | None) -> int:
    """Return how many checks of a wrapper ended that way."""
    return sum(check.passed is passed for check in report.checks)
