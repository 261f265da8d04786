"""The report's tables about candidates: what was measured of each, and why one was chosen."""

from collections.abc import Sequence

from slipway.evaluation import units
from slipway.evaluation.outcome import State, candidate_outcome
from slipway.report.prose import plain, table
from slipway.values import Fidelity, GateResult, Metric, ScoredCandidate, Selection, Severity

STATES: dict[State, str] = {
    "chosen": "✅ chosen",
    "passed": "☑️ passed",
    "refused": "⛔ refused",
    "in doubt": "❔ in doubt",
    "not measured": "❔ not measured",
    "not built": "⛔ not built",
}
GATE_STATES = {"pass": "✅ kept", "fail": "❌ broken", "inconclusive": "❔ in doubt"}
COLUMNS: dict[Metric, str] = {
    "size_bytes": "Size",
    "kl_mean": "KL",
    "top1_agreement": "Top-1",
    "perplexity_ratio": "Perplexity",
    "decode_tokens_per_second": "Speed",
}
LEGEND = (
    "KL: divergence from the source in nats per token. Top-1: how often both find the same token "
    "likeliest. Perplexity: that of the candidate over that of the source. Intervals hold 95 %."
)
REASON_CHARACTERS = 200


def candidates_table(choice: Selection) -> str:
    """Return every candidate with its figures and what decided about it."""
    head = ("Candidate", "Verdict", *COLUMNS.values(), "Build")
    rows = (_candidate_row(candidate, choice) for candidate in choice.candidates)
    return f"{table(head, rows)}\n\n{LEGEND}"


def gates_table(gates: Sequence[GateResult]) -> str:
    """Return what every gate said of the chosen candidate, those that block first."""
    if not gates:
        return "Nothing was weighed, so nothing can be promoted."
    head = ("Result", "Figure", "Rule", "Observed", "Severity")
    ranked = sorted(gates, key=lambda gate: list(_RANKS).index((gate.state, gate.severity)))
    return table(head, (_gate_row(gate) for gate in ranked))


def groups_table(fidelity: Fidelity | None) -> str | None:
    """Return the KL divergence by kind of text, largest first; None without any."""
    if fidelity is None or not fidelity.kl_by_group:
        return None
    groups = sorted(fidelity.kl_by_group.items(), key=lambda pair: -pair[1])
    return table(
        ("Kind of text", "KL divergence, mean"),
        ((plain(group), units.number(kl)) for group, kl in groups),
    )


def figure_title(metric: Metric) -> str:
    """Return what a figure is called here and in the catalogue."""
    return f"{units.TITLES[metric]} (`{metric}`)"


_RANKS: tuple[tuple[str, Severity], ...] = (
    ("fail", "critical"),
    ("inconclusive", "critical"),
    ("fail", "warning"),
    ("inconclusive", "warning"),
    ("pass", "critical"),
    ("pass", "warning"),
)


def _candidate_row(candidate: ScoredCandidate, choice: Selection) -> tuple[str, ...]:
    evaluation, found = candidate.evaluation, candidate.evaluation.figures
    state, reason = candidate_outcome(candidate, choice)
    name = plain(evaluation.variant)
    mark = STATES[state] if state != "chosen" or candidate.passes else "⚠️ chosen"
    verdict = f"{mark}: {plain(reason, REASON_CHARACTERS)}"
    figures = (units.brief(metric, found.get(metric)) for metric in COLUMNS)
    artifact = evaluation.built.artifact
    build = units.duration(artifact.build_seconds) if artifact else units.ABSENT
    return (f"**{name}**" if state == "chosen" else name, verdict, *figures, build)


def _gate_row(gate: GateResult) -> tuple[str, ...]:
    observed = units.figure(gate.metric, gate.observed)
    title = figure_title(gate.metric)
    return GATE_STATES[gate.state], title, plain(gate.rule), observed, gate.severity
