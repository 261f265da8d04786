"""What a reader can do about a verdict."""

from collections.abc import Iterator

from slipway.evaluation.outcome import said
from slipway.report.prose import bullets, plain
from slipway.values import ReleaseSummary, WrapperReport

QUESTION = "What is the capital of Spain?"


def next_steps(summary: ReleaseSummary) -> str:
    """Return Markdown that says how to go on from here."""
    if summary.verdict.kind == "promoted":
        return _use(summary)
    again = f"Then release it again: `slipway release {summary.entry.name}`."
    return bullets((*_unasked(summary), *_checks(summary), *_limits(summary), again))


def _use(summary: ReleaseSummary) -> str:
    name, version = summary.entry.name, summary.versions.onnx.version
    ask = f'```sh\nslipway predict {name} "{QUESTION}"\n```'
    if summary.entry.target == "champion":
        return f"Ask it:\n\n{ask}"
    decide = f"move the alias `champion` of `{name}` to version {version} in MLflow's registry"
    if summary.entry.target == "approval":
        command = f"slipway approve {name} --reason TEXT"
        decide = f"resume the Prefect run `approve {name}`, or run `{command}`"
    return f"Read the answers above, then {decide}. From then on, ask it:\n\n{ask}"


def _unasked(summary: ReleaseSummary) -> Iterator[str]:
    for report in summary.report.wrappers:
        if report.answers is None:
            reason = plain(report.error or "it gave no reason")
            yield f"Find out why `models:/{report.wrapper.model_id}` could not be asked: {reason}."


def _checks(summary: ReleaseSummary) -> Iterator[str]:
    """Point at the checks that block, and at a quantization that alone breaks one."""
    onnx, reference = (_blocking(report, passed=False) for report in summary.report.wrappers)
    if onnx or reference:
        yield (
            "Read the answers at fault: the checks marked ❌ name their prompts, and "
            "`predictions.json` among the MLflow run's artifacts holds every answer in full."
        )
    if onnx - reference and summary.entry.recipe.kind == "quantize":
        yield (
            "The reference does well where ONNX fails, so the quantization may be too coarse: add "
            f"a finer candidate to the recipe of `{summary.entry.name}` in catalogue.toml, or "
            "tighten its `gates` so that a finer one is chosen."
        )
    if any(_blocking(report, passed=None) for report in summary.report.wrappers):
        yield "See what the checks marked ❔ say: they raised an error, or had nothing to look at."


def _blocking(report: WrapperReport, *, passed: bool | None) -> set[str]:
    """Return the names of the critical checks that ended that way."""
    return {
        check.name
        for check in report.checks
        if check.passed is passed and check.severity == "critical"
    }


def _limits(summary: ReleaseSummary) -> Iterator[str]:
    """Point at the gates that block."""
    where = f"the `gates` of `{summary.entry.name}` in catalogue.toml"
    for gate in summary.gates:
        if gate.blocks and gate.state == "fail":
            yield f"Compare the figure with its limit in {where}: {plain(said(gate))}."
        elif gate.blocks and gate.observed:
            yield (
                f"Measure on more text, or look at the limit in {where}: {plain(said(gate))} lies "
                "on both sides of it."
            )
        elif gate.blocks:
            yield f"Find out why `{gate.metric}` was not measured: a gate without it stays shut."
