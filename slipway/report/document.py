"""Renders the report of a release from ``report.md.jinja``, in full and in short."""

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from slipway.evaluation import units
from slipway.evaluation.gates import in_words, latencies_ms
from slipway.evaluation.outcome import candidate_outcome
from slipway.report.answers import side_by_side
from slipway.report.markdown import LINE_CHARACTERS, Markdown, code, escape, url
from slipway.tracking.metrics import checks_that, median_latency_ms, size_ratio
from slipway.values import (
    CheckResult,
    GateResult,
    Promoted,
    ReleaseSummary,
    Severity,
    WrapperReport,
)

Result = TypeVar("Result", GateResult, CheckResult)

PLOT_TEXT = "Size, KL divergence from the source and decoding speed of every candidate"
HEADLINES = {
    "promoted": "✅ Promoted",
    "rejected": "⛔ Rejected",
    "inconclusive": "❔ Inconclusive",
}
#: Results of gates and checks in the report's order; None is inconclusive.
RESULTS: dict[tuple[bool | None, Severity], str] = {
    (False, "critical"): "❌ failed",
    (None, "critical"): "❔ inconclusive",
    (False, "warning"): "⚠️ failed",
    (None, "warning"): "❔ inconclusive",
    (True, "critical"): "✅ passed",
    (True, "warning"): "✅ passed",
}
WRAPPER_FIGURES = (
    "Load time",
    "Median latency of an answer",
    "Speed",
    "Peak memory",
    "Prompts answered",
)


def markdown(summary: ReleaseSummary, plot_address: str) -> str:
    """Return the whole report.

    Args:
        summary: Everything about the release.
        plot_address: Address of the plot. MLflow's page shows only ``http(s):`` addresses,
            Prefect's also ``data:`` ones.

    Returns:
        GitHub-flavoured Markdown without HTML.
    """
    return _render(summary, short=False, plot_address=plot_address)


def description(summary: ReleaseSummary) -> str:
    """Return the report in short, for the description of a version in the registry.

    Returns:
        Markdown: verdict, five figures, origin and links; at most 5,000 characters.
    """
    return _render(summary, short=True)


def _render(summary: ReleaseSummary, **form: Any) -> str:
    fidelity = summary.selection.chosen.evaluation.fidelity
    groups = fidelity.kl_by_group if fidelity else {}
    waits = isinstance(summary.verdict, Promoted) and summary.entry.target != "champion"
    return _template().render(
        summary=summary,
        verdict=summary.verdict.kind,
        headline="✅ Passed" if waits else HEADLINES[summary.verdict.kind],
        reasons=summary.verdict.reasons,
        wrapper_figures=_wrapper_figures(summary),
        answers=side_by_side(summary),
        groups=sorted(groups.items(), key=lambda group: -group[1]),
        check_tables=_check_tables(summary),
        **form,
    )


@cache
def _template() -> Template:
    """Return the template, in which every value is escaped by default."""
    environment = Environment(
        autoescape=False,  # noqa: S701 - that is for HTML; ``finalize`` escapes for Markdown
        finalize=escape,
        keep_trailing_newline=True,
        loader=PackageLoader("slipway", "report"),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    filters = (code, url, in_words, size_ratio)
    numbers = (units.count, units.duration, units.number, units.percent, units.size)
    environment.filters |= {each.__name__: each for each in (*filters, *numbers)}
    environment.filters |= {"markdown": Markdown, "line": _line, "result": _result}
    environment.filters |= {"ranked": _ranked, "critical": _critical}
    environment.globals |= {
        "brief": units.brief,
        "candidate_outcome": candidate_outcome,
        "figure": units.figure,
        "plot_text": PLOT_TEXT,
        "titles": units.TITLES,
    }
    return environment.get_template("report.md.jinja")


def _wrapper_figures(summary: ReleaseSummary) -> list[tuple[str, str, str]]:
    """Return the figures of both wrappers, the one that is served first."""
    onnx, reference = map(_figures_of, summary.report.wrappers)
    return [(title, onnx[title], reference[title]) for title in onnx]


def _figures_of(report: WrapperReport) -> dict[str, str]:
    figures = dict.fromkeys(WRAPPER_FIGURES, units.NOT_MEASURED)
    if answers := report.answers:
        values = (
            units.duration(answers.load_seconds),
            units.latency(median_latency_ms(answers)),
            units.speed(answers.tokens_per_second),
            units.size(answers.peak_memory_bytes),
            f"{len(latencies_ms(answers))} of {len(answers.predictions)}",
        )
        figures = dict(zip(WRAPPER_FIGURES, values, strict=True))
    return figures | {"Checks passed": _passed(report)}


def _passed(report: WrapperReport) -> str:
    return f"{checks_that(report, passed=True)} of {len(report.checks)}"


def _check_tables(
    summary: ReleaseSummary,
) -> list[tuple[str, str | None, tuple[CheckResult, ...]]]:
    """Return the title, the error and the checks of each part of the smoke test."""
    report = summary.report
    wrappers = {"ONNX wrapper": report.onnx, "transformers wrapper": report.transformers}
    others = {
        "Parity of both wrappers": report.parity,
        "Comparison with the champion": report.against_champion,
    }
    return [
        *(
            (f"{title}: {_passed(each)} passed", each.error, each.checks)
            for title, each in wrappers.items()
        ),
        *((title, None, checks) for title, checks in others.items() if checks),
    ]


def _key(item: GateResult | CheckResult) -> tuple[bool | None, Severity]:
    if isinstance(item, CheckResult):
        return item.passed, item.severity
    return {"pass": True, "fail": False, "inconclusive": None}[item.state], item.severity


def _result(item: GateResult | CheckResult) -> str:
    return RESULTS[_key(item)]


def _ranked(items: Sequence[Result]) -> list[Result]:
    """Return gates or checks, those that did not pass first."""
    return sorted(items, key=lambda item: [*RESULTS].index(_key(item)))


def _critical(report: WrapperReport, passed: bool | None) -> set[str]:
    """Return the names of the critical checks with this result."""
    return {
        check.name
        for check in report.checks
        if check.passed is passed and check.severity == "critical"
    }


def _line(value: object) -> Markdown:
    return escape(value, LINE_CHARACTERS)
