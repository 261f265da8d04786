"""Decides whether a candidate may be promoted. Pure; any doubt prevents a promotion."""

from collections.abc import Iterator

from slipway.evaluation import gates
from slipway.values import (
    Champion,
    CheckResult,
    Entry,
    GateResult,
    Inconclusive,
    Promoted,
    Rejected,
    Selection,
    SmokeReport,
    Verdict,
)

NamedCheck = tuple[str, CheckResult]


def judge(report: SmokeReport, results: tuple[GateResult, ...]) -> Verdict:
    """Return the verdict on a candidate.

    A failed critical check or gate rejects it. Anything undecided (an error, a missing or
    impossible figure, an interval that includes its limit, too few answers) is inconclusive and
    never promotes. A failure outweighs a doubt.

    Args:
        report: The smoke test of both wrappers.
        results: The gates of the candidate.
    """
    checks = [*_checks(report)]
    critical = [each for each in checks if each[1].severity == "critical"]
    blocking = [gate for gate in results if gate.blocks]
    failed = (
        *(_in_words(*each) for each in critical if each[1].passed is False),
        *(gates.in_words(gate) for gate in blocking if gate.state == "fail"),
    )
    if failed:
        return Rejected(reasons=failed)
    doubts = (
        *_missing(report),
        *(_in_words(*each) for each in critical if each[1].passed is None),
        *(gates.in_words(gate) for gate in blocking),
        *(() if results else ("no gate was evaluated",)),
    )
    if doubts:
        return Inconclusive(reasons=doubts)
    warnings = (*_warnings(checks, results),)
    what = "critical checks and gates"
    if not warnings:
        what = f"{len(checks)} checks and {len(results)} gates"
    return Promoted(reasons=(f"all {what} pass", *warnings))


def final_gates(
    entry: Entry, selection: Selection, report: SmokeReport, champion: Champion | None
) -> tuple[GateResult, ...]:
    """Return the gates of the selected candidate, with those on the smoke test's figures.

    The champion's speed of answering is measured again beside the candidate, since the figure from
    its own release was measured on another day, perhaps on another machine.
    """
    limits = gates.limits_for(entry.gates, selection.precision)
    added = {metric: limit for metric, limit in limits.items() if metric in gates.SMOKE_METRICS}
    measured_again = gates.smoke_figures(report.champion) if report.champion else {}
    return (
        *selection.chosen.gates,
        *gates.weigh(
            added,
            gates.smoke_figures(report.onnx),
            source=gates.smoke_figures(report.transformers),
            champion=champion.figures | measured_again if champion else None,
        ),
    )


def _checks(report: SmokeReport) -> Iterator[NamedCheck]:
    """Yield every check, with the name of what it is about."""
    for wrapper in report.wrappers:
        yield from ((wrapper.wrapper.kind, check) for check in wrapper.checks)
    yield from (("both wrappers", check) for check in report.parity)
    yield from (("onnx", check) for check in report.against_champion)


def _missing(report: SmokeReport) -> Iterator[str]:
    """Yield the parts of the smoke test that did not take place."""
    for wrapper in report.wrappers:
        if wrapper.error or wrapper.answers is None:
            yield f"{wrapper.wrapper.kind} could not be asked: {wrapper.error or 'no answers'}"
        elif not wrapper.checks:
            yield f"{wrapper.wrapper.kind}: no check was run"
    if not report.parity:
        yield "the wrappers were not compared"


def _warnings(checks: list[NamedCheck], results: tuple[GateResult, ...]) -> Iterator[str]:
    """Yield what did not pass, when everything critical did."""
    for who, check in checks:
        if not check.passed:
            yield f"warning: {_in_words(who, check)}"
    for gate in results:
        if gate.state != "pass":
            yield f"warning: {gates.in_words(gate)}"


def _in_words(who: str, check: CheckResult) -> str:
    """Describe a check that did not pass, as ``"no loops" failed for onnx: … (joke)``."""
    state = "failed" if check.passed is False else "is inconclusive"
    observed = f": {check.observed}" if check.observed else ""
    prompts = f" ({', '.join(check.failing)})" if check.failing else ""
    return f'"{check.name}" {state} for {who}{observed}{prompts}'
