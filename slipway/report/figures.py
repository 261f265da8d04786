"""The numbers of a release, for MLflow and for tables."""

from statistics import median

from slipway.report.units import measured
from slipway.values import Answers, Dossier, WrapperReport
from slipway.verdict import latencies_ms

Figures = dict[str, float | None]


def metrics(dossier: Dossier) -> dict[str, float]:
    """Return every figure of a release, for MLflow.

    Args:
        dossier: Everything about the release.

    Returns:
        Finite numbers by name; the end of a name is its unit, where it has one. What was not
        measured is left out.
    """
    artifact, weights = dossier.artifact, dossier.weights
    figures: Figures = {
        "weights.size_bytes": weights.stored.size_bytes,
        "weights.parameters": weights.parameters,
        "artifact.size_bytes": artifact.stored.size_bytes,
        "size_ratio": dossier.report.size_ratio,
        "build.seconds": artifact.build_seconds,
        "build.peak_memory_bytes": artifact.peak_memory_bytes,
    }
    for report in dossier.report.wrappers:
        kind = report.wrapper.kind
        figures |= {f"{kind}.{name}": value for name, value in _of_wrapper(report).items()}
    finite = {name: measured(value) for name, value in figures.items()}
    return {name: float(value) for name, value in finite.items() if value is not None}


def median_latency_ms(answers: Answers) -> float | None:
    """Return the figure that the verdict holds against its limit; None without any answer."""
    times = latencies_ms(answers)
    return median(times) if times else None


def checks_that(report: WrapperReport, *, passed: bool | None) -> int:
    """Return how many checks of a wrapper ended that way."""
    return sum(check.passed is passed for check in report.checks)


def _of_wrapper(report: WrapperReport) -> Figures:
    """Return the figures of one wrapper, without its name before theirs."""
    figures: Figures = {
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
