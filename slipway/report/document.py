"""Renders the report of a release from ``report.md.jinja``, in full and in short."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Literal, TypeVar

from jinja2 import Template

from slipway.evaluation import paired, units
from slipway.evaluation.gates import in_words, latencies_ms
from slipway.evaluation.outcome import candidate_outcome
from slipway.report import next_steps
from slipway.report import sampling as sampling_report
from slipway.report.answers import right_by_tag, side_by_side
from slipway.report.markdown import LINE_CHARACTERS, Markdown, environment, escape
from slipway.tracking.metrics import checks_that, median_latency_ms, size_ratio, size_ratio_of_file
from slipway.values import (
    METRICS,
    Answers,
    CheckResult,
    GateResult,
    Promoted,
    ReleaseSummary,
    Severity,
    SmokeReport,
    Speed,
    TaskComparison,
    WrapperKind,
    WrapperReport,
)

Server = Literal["mlflow", "prefect"]

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
_WRAPPERS: dict[WrapperKind, str] = {
    "onnx": "ONNX wrapper",
    "transformers": "transformers wrapper",
}
_FIGURES: dict[str, Callable[[Answers], str]] = {
    "Load time": lambda answers: units.duration(answers.load_seconds),
    "Median latency of an answer": lambda answers: units.latency(median_latency_ms(answers)),
    "Speed": lambda answers: units.speed(answers.tokens_per_second),
    "Peak memory": lambda answers: units.size(answers.peak_memory_bytes),
    "Prompts answered": lambda all_: f"{len(latencies_ms(all_))} of {len(all_.predictions)}",
}


def markdown(summary: ReleaseSummary, plot_address: str, *, shown_in: Server | None = None) -> str:
    """Return the whole report.

    Args:
        summary: Everything about the release.
        plot_address: Address of the plot. MLflow's page shows only ``http(s):`` addresses,
            Prefect's also ``data:`` ones.
        shown_in: Whose page shows the report: its links to that server hold on any port.

    Returns:
        GitHub-flavoured Markdown without HTML.
    """
    return _render(summary, shown_in, short=False, plot_address=plot_address)


def description(summary: ReleaseSummary) -> str:
    """Return the report in short, for the description of a version in the registry.

    Returns:
        Markdown: verdict, five figures, origin and links; at most 5,000 characters.
    """
    return _render(summary, "mlflow", short=True)


def _render(summary: ReleaseSummary, shown_in: Server | None, **form: Any) -> str:
    fidelity = summary.selection.chosen.evaluation.fidelity
    groups = fidelity.kl_by_group if fidelity else {}
    waits = isinstance(summary.verdict, Promoted) and summary.entry.target != "champion"
    return _template().render(
        summary=summary,
        verdict=summary.verdict.kind,
        links=_links(summary, shown_in),
        headline="✅ Passed" if waits else HEADLINES[summary.verdict.kind],
        reasons=summary.verdict.reasons,
        wrapper_figures=_wrapper_figures(summary),
        answers=side_by_side(summary),
        right_answers=right_by_tag(summary),
        ask=partial(next_steps.ask, summary.entry.name),
        beside=next_steps.beside(summary.entry.name, summary.versions.onnx.version),
        groups=sorted(groups.items(), key=lambda group: -group[1]),
        check_tables=_check_tables(summary),
        is_degraded=_is_degraded(summary.report),
        unanswered=_unanswered(summary.report),
        task_rows=_task_rows(summary),
        sampling=tuple(sampling_report.sentences(summary)),
        sampled=summary.report.sampled and sampling_report.rows(summary.report.sampled),
        **form,
    )


@cache
def _template() -> Template:
    """Return the template, in which every value is escaped by default."""
    made = environment()
    filters = (in_words, size_ratio, size_ratio_of_file)
    numbers = (units.count, units.duration, units.number, units.percent, units.size)
    made.filters |= {each.__name__: each for each in (*filters, *numbers)}
    made.filters |= {"line": _line, "result": _result, "ranked": _ranked, "critical": _critical}
    made.globals |= {
        "brief": units.brief,
        "candidate_outcome": candidate_outcome,
        "energy": _energy,
        "figure": units.figure,
        "plot_text": PLOT_TEXT,
        "power_in_words": paired.in_words,
        "metrics": METRICS,
        "title": units.title,
        "difference": units.difference,
    }
    return made.get_template("report.md.jinja")


def _task_rows(summary: ReleaseSummary) -> list[tuple[str, TaskComparison]]:
    """Return what every candidate reached on tasks, with the candidate's name."""
    evaluations = [each.evaluation for each in summary.selection.candidates]
    return [(each.variant, found) for each in evaluations for found in each.task_comparisons]


def _links(summary: ReleaseSummary, shown_in: Server | None) -> dict[str, str]:
    """Return the pages of the release by their titles."""
    pages = {"MLflow run": summary.mlflow_url}
    if shown_in == "mlflow":
        pages["MLflow run"] = f"#{summary.mlflow_url.partition('#')[2]}"
    if summary.flow_run_url:
        path = f"/runs{summary.flow_run_url.partition('/runs')[2]}"
        pages["Prefect run"] = path if shown_in == "prefect" else summary.flow_run_url
    if summary.chat_url:
        pages["Chat with the champion"] = summary.chat_url
    return pages


def _wrapper_figures(summary: ReleaseSummary) -> list[tuple[str, ...]]:
    """Return the figures of both wrappers, the one that is served first."""
    wrappers = summary.report.wrappers
    answers = [each.answers for each in wrappers]
    figures = [
        (title, *(figure(each) if each else units.NOT_MEASURED for each in answers))
        for title, figure in _FIGURES.items()
    ]
    return [*figures, ("Checks passed", *map(_passed, wrappers))]


def _energy(speed: Speed | None) -> str:
    if speed and speed.energy_unknown:
        return f"not measurable here: {speed.energy_unknown}"
    return units.energy(speed.joules_per_1000_tokens if speed else None)


def _passed(report: WrapperReport) -> str:
    return f"{checks_that(report, passed=True)} of {len(report.checks)}"


def _is_degraded(report: SmokeReport) -> bool:
    """Return whether answers of the ONNX wrapper fail where those of the reference pass."""
    passing = _critical(report.onnx, passed=False) - _critical(report.transformers, passed=False)
    errors = _errors(report.onnx).keys()
    return any(
        check.name in passing and (not check.failing or set(check.failing) - errors)
        for check in report.onnx.checks
    )


def _unanswered(report: SmokeReport) -> list[tuple[str, list[str], str]]:
    """Return each wrapper that raised for a prompt, those prompts, and the first error."""
    found = ((_WRAPPERS[each.wrapper.kind], _errors(each)) for each in report.wrappers)
    return [(title, [*errors], next(iter(errors.values()))) for title, errors in found if errors]


def _errors(report: WrapperReport) -> dict[str, str]:
    predictions = report.answers.predictions if report.answers else ()
    return {each.prompt_id: each.error for each in predictions if each.error is not None}


def _check_tables(
    summary: ReleaseSummary,
) -> list[tuple[str, str | None, tuple[CheckResult, ...]]]:
    """Return the title, the error and the checks of each part of the smoke test."""
    report = summary.report
    others = {
        "Parity of both wrappers": report.parity,
        "Comparison with the champion": report.against_champion,
        "Comparison with the source": report.against_source,
        "Capabilities beside the source": report.structured,
    }
    return [
        *(
            (f"{_WRAPPERS[each.wrapper.kind]}: {_passed(each)} passed", each.error, each.checks)
            for each in report.wrappers
        ),
        *((title, None, checks) for title, checks in others.items() if checks),
    ]


def _key(item: GateResult | CheckResult) -> tuple[bool | None, Severity]:
    return item.passed, item.severity


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
