"""The report's tables: what was measured, what was checked, what was answered."""

from collections.abc import Callable, Iterator

from slipway.report import units
from slipway.report.figures import checks_that, median_latency_ms
from slipway.report.prose import plain, table
from slipway.report.replies import Reply, replies
from slipway.values import Answers, Check, Dossier, Severity, WrapperReport
from slipway.verdict import latencies_ms

Row = tuple[str, str, str, str]

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


def figures_table(dossier: Dossier) -> str:
    """Return what was measured, side by side, with the limits that ONNX has to keep."""
    head = ("Figure", "ONNX", "transformers, the reference", "Limit")
    return table(head, (*_file_rows(dossier), *_answer_rows(dossier)))


def asked_both(dossier: Dossier, write: Callable[[Answers], str]) -> tuple[str, str]:
    """Return a figure of both wrappers, the serving one first."""
    onnx, reference = (
        units.NOT_MEASURED if report.answers is None else write(report.answers)
        for report in dossier.report.wrappers
    )
    return onnx, reference


def checks_passed(dossier: Dossier) -> tuple[str, str]:
    """Return how many checks of each wrapper passed, the serving one first."""
    onnx, reference = dossier.report.wrappers
    return _passed(onnx), _passed(reference)


def checks_tables(dossier: Dossier) -> str:
    """Return the checks of both wrappers, failed ones first."""
    return "\n\n".join(
        f"### {TITLES[report.wrapper.kind]} wrapper: {_passed(report)} passed\n\n"
        + _checks_table(report)
        for report in dossier.report.wrappers
    )


def answers_table(dossier: Dossier) -> str:
    """Return some answers of both wrappers side by side, those at fault first."""
    onnx, reference = (_by_prompt(report) for report in dossier.report.wrappers)
    faults = [
        prompt_id
        for report in dossier.report.wrappers
        for check in _ranked(report)
        for prompt_id in check.failing
    ]
    prompt_ids = dict.fromkeys([*faults, *onnx, *reference])
    rows = [
        (plain(prompt_id), onnx.get(prompt_id, NOT_ASKED), reference.get(prompt_id, NOT_ASKED))
        for prompt_id in [*prompt_ids][:SAMPLES]
    ]
    if not rows:
        return "Neither wrapper could be asked."
    shown = f"{len(rows)} of {len(prompt_ids)} prompts, those at fault first. "
    rest = "`predictions.json` among the MLflow run's artifacts holds every answer in full."
    return f"{shown}{rest}\n\n{table(('Prompt', 'ONNX', 'transformers'), rows)}"


def _file_rows(dossier: Dossier) -> Iterator[Row]:
    artifact, weights = dossier.artifact, dossier.weights
    limit = f"at most {units.percent(dossier.entry.gates.max_size_ratio)}"
    yield "Parameters", "", units.count(weights.parameters), ""
    yield "Size", units.size(artifact.stored.size_bytes), units.size(weights.stored.size_bytes), ""
    yield "Share of the source's size", units.percent(dossier.report.size_ratio), "100 %", limit
    if artifact.origin is None:
        yield "Time of the build", units.duration(artifact.build_seconds), "", ""
        yield "Peak memory of the build", units.size(artifact.peak_memory_bytes), "", ""
    else:
        yield "Time of the download", units.duration(artifact.build_seconds), "", ""


def _answer_rows(dossier: Dossier) -> tuple[Row, ...]:
    gates = dossier.entry.gates
    return (
        ("Load time", *asked_both(dossier, lambda said: units.duration(said.load_seconds)), ""),
        (
            "Median time of an answer",
            *asked_both(dossier, lambda said: units.latency(median_latency_ms(said))),
            f"at most {units.latency(gates.max_median_latency_ms)}",
        ),
        (
            "Speed",
            *asked_both(dossier, lambda said: units.speed(said.tokens_per_second)),
            f"at least {units.speed(gates.min_tokens_per_second)}",
        ),
        ("Peak memory", *asked_both(dossier, lambda said: units.size(said.peak_memory_bytes)), ""),
        ("Prompts answered", *asked_both(dossier, _answered), f"at least {gates.min_prompts}"),
        ("Checks passed", *checks_passed(dossier), "every critical one, of both"),
    )


def _answered(answers: Answers) -> str:
    return f"{len(latencies_ms(answers))} of {len(answers.predictions)}"


def _passed(report: WrapperReport) -> str:
    return f"{checks_that(report, passed=True)} of {len(report.checks)}"


def _checks_table(report: WrapperReport) -> str:
    asked = "" if report.error is None else f"It could not be asked: {plain(report.error)}"
    if not report.checks:
        return asked or "Nothing was checked."
    head = ("Result", "Check", "Severity", "Prompts at fault", "Seen")
    checks = table(head, (_check_row(check) for check in _ranked(report)))
    return f"{asked}\n\n{checks}".lstrip()


def _ranked(report: WrapperReport) -> list[Check]:
    ranks = list(MARKS)
    return sorted(report.checks, key=lambda check: ranks.index((check.passed, check.severity)))


def _check_row(check: Check) -> tuple[str, ...]:
    mark = MARKS[check.passed, check.severity]
    failing, observed = plain(", ".join(check.failing)), plain(check.observed)
    return mark, plain(check.name), check.severity, failing, observed


def _by_prompt(report: WrapperReport) -> dict[str, str]:
    return {reply.prompt_id: _said(reply) for reply in replies(report)}


def _said(reply: Reply) -> str:
    if reply.error is not None:
        return f"❌ {plain(str(reply.error))}"
    return plain(str(reply.answer)) or "(empty)"
