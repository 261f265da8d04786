"""Decides whether a candidate may be promoted. Pure; any doubt prevents a promotion."""

from collections.abc import Iterator

from slipway.evaluation import gates
from slipway.values import (
    Champion,
    CheckResult,
    Estimate,
    Figures,
    GateResult,
    Gates,
    Inconclusive,
    Promoted,
    Rejected,
    Selection,
    SmokeReport,
    VariantPrecision,
    Verdict,
)

NamedCheck = tuple[str, CheckResult]

_NAMED_PROMPTS = 5  # of one check, in a reason


def judge(
    report: SmokeReport, results: tuple[GateResult, ...], accepted: str | None = None
) -> Verdict:
    """Return the verdict on a candidate.

    A failed critical check or gate rejects it. Anything undecided (an error, a missing or
    impossible figure, an interval that includes its limit, too few answers) is inconclusive and
    never promotes. A failure outweighs a doubt. Only what an entry explicitly accepts without
    measurements is judged without its own answers.

    Args:
        report: The smoke test's.
        results: Of all gates.
        accepted: As in ``ScoredCandidate``.
    """
    checks = [each for each in _checks(report) if not accepted or each[0] == "transformers"]
    critical = [each for each in checks if each[1].severity == "critical"]
    blocking = [gate for gate in results if gate.blocks]
    failed = (
        *(_in_words(*each) for each in critical if each[1].passed is False),
        *(gates.in_words(gate) for gate in blocking if gate.state == "fail"),
    )
    if failed:
        return Rejected(reasons=failed)
    doubts = (
        *_missing(report, accepted),
        *(_in_words(*each) for each in critical if each[1].passed is None),
        *(gates.in_words(gate) for gate in blocking),
        *(() if results or accepted else ("no gate was evaluated",)),
    )
    if doubts:
        return Inconclusive(reasons=doubts)
    unmeasured = (f"warning: not measured, as the entry accepts: {accepted}",) if accepted else ()
    warnings = (*unmeasured, *_warnings(checks, results))
    what = "critical checks and gates"
    if not warnings:
        what = f"{len(checks)} checks and {len(results)} gates"
    return Promoted(reasons=(f"all {what} pass", *warnings))


def final_gates(
    own: Gates, selection: Selection, report: SmokeReport, champion: Champion | None
) -> tuple[GateResult, ...]:
    """Return the gates of the selected candidate, with those on the smoke test's figures.

    The champion's speed of answering is measured again beside the candidate, since the figure from
    its own release was measured on another day, perhaps on another machine. How many prompts it
    answered is taken from its own release, so that a suite that was shortened since is noticed.
    """
    if selection.chosen.accepted:
        return selection.chosen.gates
    measured = smoke_gates(own, selection.precision, report, champion)
    return (*selection.chosen.gates, *measured)


def gates_again(
    own: Gates,
    recorded: tuple[GateResult, ...],
    precision: VariantPrecision,
    report: SmokeReport,
    champion: Champion | None,
) -> tuple[GateResult, ...]:
    """Return the gates of a release that was tested again, on another machine.

    Args:
        own: The entry's limits.
        recorded: The gates of its release. Of those on the smoke test's figures, none is left.
        precision: Type of the artifact's weights.
        report: The new smoke test's.
        champion: Of the registry that the release goes to.
    """
    later = gates.SMOKE_METRICS | gates.SAMPLED_METRICS | gates.CHAMPION_METRICS
    kept = (gate for gate in recorded if gate.metric not in later)
    return (*kept, *smoke_gates(own, precision, report, champion))


def smoke_gates(
    own: Gates, precision: VariantPrecision, report: SmokeReport, champion: Champion | None
) -> tuple[GateResult, ...]:
    """Return the gates on the figures of a smoke test; ``champion`` is the one beside it."""
    limits = gates.limits_for(own, precision)
    measured = gates.SMOKE_METRICS
    measured |= gates.SAMPLED_METRICS if report.sampled else frozenset()
    measured |= gates.CHAMPION_METRICS if report.champion else frozenset()
    added = {metric: limit for metric, limit in limits.items() if metric in measured}
    return gates.weigh(
        added,
        gates.answer_figures(report),
        source=gates.smoke_figures(report.transformers),
        champion=_figures(champion, report) if champion else None,
    )


def _figures(champion: Champion, report: SmokeReport) -> Figures:
    """Return what is known of the champion; it limits no count of prompts if it had none."""
    counted = champion.figures.get("answered_prompts", Estimate.exact(0))
    again = gates.smoke_figures(report.champion) if report.champion else {}
    return {**champion.figures, **again, "answered_prompts": counted}


def _checks(report: SmokeReport) -> Iterator[NamedCheck]:
    """Yield every check, with the name of what it is about."""
    for wrapper in report.wrappers:
        yield from ((wrapper.wrapper.kind, check) for check in wrapper.checks)
    yield from (("both wrappers", check) for check in report.parity)
    compared = (*report.against_champion, *report.against_source, *report.structured)
    yield from (("onnx", check) for check in compared)


def _missing(report: SmokeReport, accepted: str | None) -> Iterator[str]:
    """Yield the parts of the smoke test that did not take place and that are needed."""
    for wrapper in (report.transformers,) if accepted else report.wrappers:
        if wrapper.error or wrapper.answers is None:
            yield f"{wrapper.wrapper.kind} could not be asked: {wrapper.error or 'no answers'}"
        elif not wrapper.checks:
            yield f"{wrapper.wrapper.kind}: no check was run"
    if not report.parity and not accepted:
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
    prompts = f" ({_some(check.failing)})" if check.failing else ""
    return f'"{check.name}" {state} for {who}{observed}{prompts}'


def _some(prompts: tuple[str, ...]) -> str:
    """Name the first prompts and count the others: a suite may have hundreds."""
    named, others = prompts[:_NAMED_PROMPTS], len(prompts[_NAMED_PROMPTS:])
    return ", ".join(named) + (f" and {others} more" if others else "")
