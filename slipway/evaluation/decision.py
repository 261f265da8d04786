"""May a candidate serve? Pure, and closed on every doubt."""

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
    WrapperReport,
)


def judge(report: SmokeReport, results: tuple[GateResult, ...]) -> Verdict:
    """Weigh what was seen of a candidate.

    A failed critical check or gate keeps the champion. Whatever could not be decided (an error, a
    missing or impossible figure, an interval on both sides of its limit, too few answers) is
    inconclusive, and never promotes. A fault that is certain outweighs one that is not.

    Args:
        report: The smoke test of both wrappers.
        results: What the gates said of the candidate.
    """
    broken = (*_failed(report), *(said(gate) for gate in results if _is(gate, "fail", "critical")))
    if broken:
        return Rejected(reasons=broken)
    unclear = (said(gate) for gate in results if _is(gate, "inconclusive", "critical"))
    nothing = () if results else ("no gate was weighed",)
    doubts = (*_undecided(report), *unclear, *nothing)
    if doubts:
        return Inconclusive(reasons=doubts)
    checks = sum(len(checks) for _, checks in _checks(report))
    warnings = (*_warnings(report), *_gate_warnings(results))
    what = "critical checks and gates" if warnings else f"{checks} checks and {len(results)} gates"
    return Promoted(reasons=(f"all {what} hold", *warnings))


def final_gates(
    entry: Entry, choice: Selection, report: SmokeReport, champion: Champion | None
) -> tuple[GateResult, ...]:
    """Return the results for the chosen candidate, with those that the smoke test adds.

    How fast the champion answers is measured anew beside the candidate: a figure of the day on
    which it was released says as much about that day's machine.
    """
    limits = gates.limits_for(entry.gates, choice.chosen.evaluation.built.precision)
    added = {metric: limit for metric, limit in limits.items() if metric in gates.SMOKE_METRICS}
    serving = gates.smoke_figures(report.champion) if report.champion else None
    return (
        *choice.chosen.gates,
        *gates.weigh(
            added,
            gates.smoke_figures(report.onnx),
            source=gates.smoke_figures(report.transformers),
            champion=None if champion is None else champion.figures | (serving or {}),
        ),
    )


def said(gate: GateResult) -> str:
    """Return what a gate that does not hold says, as ``kl_mean is 0.57 (0.52 to 0.61), …``."""
    if gate.observed is None:
        return f"{gate.metric} was not measured, {gate.rule} is allowed"
    seen, limit = gate.observed, "" if gate.limit is None else f" = {gate.limit:.4g}"
    interval = "" if seen.low == seen.high else f" ({seen.low:.3g} to {seen.high:.3g})"
    relative = limit if "%" in gate.rule else ""
    doubt = "" if gate.state == "fail" else "; that is not sure to hold"
    return f"{gate.metric} is {seen.value:.4g}{interval}, {gate.rule}{relative} is allowed{doubt}"


def _is(gate: GateResult, state: str, severity: str) -> bool:
    return gate.state == state and gate.severity == severity


def _checks(report: SmokeReport) -> Iterator[tuple[str, tuple[CheckResult, ...]]]:
    for wrapper in report.wrappers:
        yield wrapper.wrapper.kind, wrapper.checks
    yield "both wrappers", report.parity
    yield "onnx", report.against_champion


def _failed(report: SmokeReport) -> Iterator[str]:
    for who, checks in _checks(report):
        for check in checks:
            if check.passed is False and check.severity == "critical":
                yield _told(who, f"failed: {check.name}: {check.observed}", check.failing)


def _warnings(report: SmokeReport) -> Iterator[str]:
    for who, checks in _checks(report):
        for check in checks:
            if check.passed is not True and check.severity == "warning":
                yield _told(who, f"warning: {check.name}", check.failing)


def _gate_warnings(results: tuple[GateResult, ...]) -> Iterator[str]:
    for gate in results:
        if gate.state != "pass" and gate.severity == "warning":
            yield f"warning: {said(gate)}"


def _undecided(report: SmokeReport) -> Iterator[str]:
    for wrapper in report.wrappers:
        yield from _unasked(wrapper)
    for who, checks in _checks(report):
        for check in checks:
            if check.passed is None and check.severity == "critical":
                yield _told(who, f"{check.name}: could not be decided", check.failing)
    if not report.parity:
        yield "the wrappers were not compared"


def _unasked(wrapper: WrapperReport) -> Iterator[str]:
    if wrapper.error or wrapper.answers is None:
        yield _told(wrapper.wrapper.kind, f"could not be asked: {wrapper.error or 'no answers'}")
    elif not wrapper.checks:
        yield _told(wrapper.wrapper.kind, "nothing was checked")


def _told(who: str, text: str, prompts: tuple[str, ...] = ()) -> str:
    where = f" ({', '.join(prompts)})" if prompts else ""
    return f"{who} {text.rstrip(': ')}{where}"
