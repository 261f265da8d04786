"""SmokeReport → Decision."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from slipway.evaluation import decision, source_order
from slipway.values import Champion, Decision, Entry, Revision, Selection, SmokeReport


@task(
    task_run_name="decide about {selection.variant}",
    description="Compare what was measured and answered with the gates, and the age of the source.",
    cache_policy=NO_CACHE,
)
def decide(  # noqa: PLR0913 - a verdict follows from all of them
    *,
    entry: Entry,
    revision: Revision,
    selection: Selection,
    report: SmokeReport,
    champion: Champion | None,
    insisted: str | None,
) -> Decision:
    """Return whether the candidate may serve, with reasons.

    ``insisted`` is why a person wants it although its source is older than the champion's.
    """
    results = decision.final_gates(entry.gates, selection, report, champion)
    verdict = decision.judge(report, results, selection.chosen.accepted)
    if entry.target != "candidate" and insisted is None:
        other = champion.source if champion else None
        verdict = source_order.judge(verdict, revision.source_commit, other)
    return Decision(gates=results, verdict=verdict)
