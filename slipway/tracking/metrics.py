"""The numbers of a release in its MLflow run, and back.

MLflow draws a chart for each metric. So the metrics are the figures that people compare; a tag has
every figure with its interval, and the artifact ``figures.json`` every number.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from statistics import median

from pydantic import TypeAdapter

from slipway.evaluation.gates import answer_figures, latencies_ms
from slipway.evaluation.units import measured
from slipway.tracking.tags import FIGURES
from slipway.values import (
    METRICS,
    Answers,
    Estimate,
    Evaluation,
    Figures,
    Metric,
    ReleaseSummary,
    SampledComparison,
    TaskComparison,
    WrapperReport,
)

Numbers = dict[str, float | None]

#: The figures that become metrics.
COMPARED: tuple[Metric, ...] = (
    "size_bytes",
    "kl_mean",
    "top1_agreement",
    "perplexity_ratio",
    "load_seconds",
    "time_to_first_token_ms",
    "decode_tokens_per_second",
    "joules_per_1000_tokens",
    "peak_memory_bytes",
    "median_latency_ms",
    "tokens_per_second",
)
_FIGURES = TypeAdapter(Figures)

_FORBIDDEN = re.compile(r"[^\w.-]+")  # in the name of a metric of MLflow


def figures(summary: ReleaseSummary) -> Figures:
    """Return the figures of the selected candidate and of its answers."""
    measured_ = summary.selection.chosen.evaluation.figures
    return measured_ | answer_figures(summary.report)


def metrics(known: Figures) -> dict[str, float]:
    """Return the figures that people compare, for MLflow; what was not measured is left out."""
    return _finite({name: known[name].value for name in COMPARED if name in known})


def of_tasks(comparisons: Iterable[TaskComparison]) -> dict[str, float]:
    """Return what was reached on tasks, as ``<task>.<metric>`` and what belongs to it."""
    return _finite({name: value for each in comparisons for name, value in _of_task(each)})


def tags(known: Figures) -> dict[str, str]:
    """Return the tag that has every figure."""
    finite = {name: each for name, each in known.items() if measured(each.value) is not None}
    return {FIGURES: _FIGURES.dump_json(finite).decode()}


def numbers(summary: ReleaseSummary) -> dict[str, float]:
    """Return every number of a release, for an artifact.

    Returns:
        Finite numbers by name. The chosen candidate's figures stand under their own names, such as
        ``kl_mean``, with their intervals as ``kl_mean.low`` and ``kl_mean.high``; the end of every
        other name is its unit, where it has one. What was not measured is left out.
    """
    artifact, weights = summary.artifact, summary.weights
    found: Numbers = {
        **_of_evaluation(summary.selection.chosen.evaluation),
        **_flat(answer_figures(summary.report)),
        **(_of_samples(summary.report.sampled) if summary.report.sampled else {}),
        "size_ratio": size_ratio(summary),
        "weights.size_bytes": weights.stored.size_bytes,
        "weights.parameters": weights.parameters,
        "build.peak_memory_bytes": artifact.peak_memory_bytes,
    }
    for report in summary.report.wrappers:
        kind = report.wrapper.kind
        found |= {f"{kind}.{name}": value for name, value in _of_wrapper(report).items()}
    return _finite(found)


def figures_of(run_tags: Mapping[str, str], metrics: Mapping[str, float]) -> Figures:
    """Return the figures of an MLflow run, with their intervals.

    Args:
        run_tags: The run's tags.
        metrics: The run's metrics; before the tag existed, they were all figures.
    """
    if text := run_tags.get(FIGURES):
        return _FIGURES.validate_json(text)
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
        **of_tasks(evaluation.task_comparisons),
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


def _of_task(found: TaskComparison) -> Iterator[tuple[str, float]]:
    name = f"{found.task}.{found.metric}"
    yield name, found.candidate
    yield f"{name}.source", found.source
    yield f"{name}.items", found.items
    if found.difference:
        yield f"{name}.difference", found.difference.value
        yield f"{name}.difference_low", found.difference.low
        yield f"{name}.difference_high", found.difference.high


def _of_samples(sampled: SampledComparison) -> Numbers:
    rates = {"onnx": sampled.candidate, "transformers": sampled.source}
    counts = {
        f"{kind}.sampled_{name}": value for kind, each in rates.items() for name, value in each
    }
    return {**_flat(sampled.figures), **counts}


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


def size_ratio_of_file(summary: ReleaseSummary) -> float:
    """Return the bytes of the artifact over those of the files that the weights were read from."""
    return summary.artifact.stored.size_bytes / summary.weights.revision.size_bytes


def median_latency_ms(answers: Answers) -> float | None:
    """Return the figure that the verdict holds against its limit; None without any answer."""
    times = latencies_ms(answers)
    return median(times) if times else None


def checks_that(report: WrapperReport, *, passed: bool | None) -> int:
    """Return how many checks of a wrapper ended that way."""
    return sum(check.passed is passed for check in report.checks)
