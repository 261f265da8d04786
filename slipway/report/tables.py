"""The report's tables: what was measured, what was checked, what was answered."""

from collections.abc import Callable, Iterable, Iterator

from slipway.evaluation import units
from slipway.evaluation.gates import latencies_ms
from slipway.report.prose import plain, table
from slipway.report.replies import Reply, replies
from slipway.tracking.metrics import checks_that, median_latency_ms, size_ratio
from slipway.values import Answers, CheckResult, ReleaseSummary, Severity, WrapperReport

Row = tuple[str, str, str]

SAMPLES = 6
NOT_ASKED = "not asked"
TITLES = {"onnx": "ONNX", "transformers": "transformers"}
MARKS: dict[tuple[bool | None, Severity], str] = {  # in the order of the report
    (False, "critical"): "❌ failed",
    (None, "critical"): "❔ undecided",
    (False, "warning"): "⚠️ failed",
    (None, "warning"): "❔ undecided",
    (True, "critical"): "✅ passed",
    (True, "warning"): "✅ passed",
}


def figures_table(summary: ReleaseSummary) -> str:
    """Return what was measured of both wrappers, side by side."""
    head = ("Figure", "ONNX", "transformers, the reference")
    return table(head, (*_file_rows(summary), *_answer_rows(summary)))


def asked_both(summary: ReleaseSummary, write: Callable[[Answers], str]) -> tuple[str, str]:
    """Return a figure of both wrappers, the serving one first."""
    onnx, reference = (
        units.NOT_MEASURED if report.answers is None else write(report.answers)
        for report in summary.report.wrappers
    )
    return onnx, reference


def checks_passed(summary: ReleaseSummary) -> tuple[str, str]:
    """Return how many checks of each wrapper passed, the serving one first."""
    onnx, reference = summary.report.wrappers
    return _passed(onnx), _passed(reference)


def checks_tables(summary: ReleaseSummary) -> str:
    """Return the checks of both wrappers and of what they agree on, failed ones first."""
    parts = [
        f"### {TITLES[report.wrapper.kind]} wrapper: {_passed(report)} passed\n\n"
        + _checks_table(report)
        for report in summary.report.wrappers
    ]
    if summary.report.parity:
        parts.append(f"### Both wrappers alike\n\n{_rows(summary.report.parity)}")
    return "\n\n".join(parts)


def answers_table(summary: ReleaseSummary) -> str:
    """Return some answers of every wrapper side by side, those at fault first."""
    report = summary.report
    asked = {"Reference": report.transformers, "Candidate": report.onnx}
    if report.champion:
        asked[f"Champion, version {report.champion.wrapper.version}"] = report.champion
    said = {name: _by_prompt(each) for name, each in asked.items()}
    prompt_ids = dict.fromkeys(
        [*_at_fault(summary), *(id_ for each in said.values() for id_ in each)]
    )
    if not any(said.values()):
        return "No wrapper could be asked."
    rows = [
        (plain(prompt_id), *(each.get(prompt_id, NOT_ASKED) for each in said.values()))
        for prompt_id in [*prompt_ids][:SAMPLES]
    ]
    shown = f"{len(rows)} of {len(prompt_ids)} prompts, those at fault first. "
    rest = "`predictions.json` among the MLflow run's artifacts holds every answer in full."
    return f"{shown}{rest}\n\n{table(('Prompt', *said), rows)}"


def _at_fault(summary: ReleaseSummary) -> Iterator[str]:
    """Yield the prompts that regressed, and those that failed a check."""
    yield from (each.prompt_id for each in summary.report.regressions)
    for report in summary.report.wrappers:
        for check in _ranked(report.checks):
            yield from check.failing


def _file_rows(summary: ReleaseSummary) -> Iterator[Row]:
    artifact, weights = summary.artifact, summary.weights
    yield "Parameters", "", units.count(weights.parameters)
    yield "Size", units.size(artifact.stored.size_bytes), units.size(weights.stored.size_bytes)
    yield "Share of the source's size", units.percent(size_ratio(summary)), "100 %"
    if artifact.origin is None:
        yield "Time of the build", units.duration(artifact.build_seconds), ""
        yield "Peak memory of the build", units.size(artifact.peak_memory_bytes), ""
    else:
        yield "Time of the download", units.duration(artifact.build_seconds), ""


def _answer_rows(summary: ReleaseSummary) -> tuple[Row, ...]:
    def both(write: Callable[[Answers], str]) -> tuple[str, str]:
        return asked_both(summary, write)

    return (
        ("Load time", *both(lambda said: units.duration(said.load_seconds))),
        ("Median time of an answer", *both(lambda said: units.latency(median_latency_ms(said)))),
        ("Speed", *both(lambda said: units.speed(said.tokens_per_second))),
        ("Peak memory", *both(lambda said: units.size(said.peak_memory_bytes))),
        ("Prompts answered", *both(_answered)),
        ("Checks passed", *checks_passed(summary)),
    )


def _answered(answers: Answers) -> str:
    return f"{len(latencies_ms(answers))} of {len(answers.predictions)}"


def _passed(report: WrapperReport) -> str:
    return f"{checks_that(report, passed=True)} of {len(report.checks)}"


def _checks_table(report: WrapperReport) -> str:
    asked = "" if report.error is None else f"It could not be asked: {plain(report.error)}"
    if not report.checks:
        return asked or "Nothing was checked."
    return f"{asked}\n\n{_rows(report.checks)}".lstrip()


def _rows(checks: Iterable[CheckResult]) -> str:
    head = ("Result", "Check", "Severity", "Prompts at fault", "Seen")
    return table(head, (_check_row(check) for check in _ranked(checks)))


def _ranked(checks: Iterable[CheckResult]) -> list[CheckResult]:
    ranks = list(MARKS)
    return sorted(checks, key=lambda check: ranks.index((check.passed, check.severity)))


def _check_row(check: CheckResult) -> tuple[str, ...]:
    mark = MARKS[check.passed, check.severity]
    failing, observed = plain(", ".join(check.failing)), plain(check.observed)
    return mark, plain(check.name), check.severity, failing, observed


def _by_prompt(report: WrapperReport) -> dict[str, str]:
    return {reply.prompt_id: _said(reply) for reply in replies(report)}


def _said(reply: Reply) -> str:
    if reply.error is not None:
        return f"❌ {plain(str(reply.error))}"
    return plain(str(reply.answer)) or "(empty)"
