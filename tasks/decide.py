"""SmokeReport → Decision."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from slipway.evaluation import decision
from slipway.values import Champion, Decision, Entry, Selection, SmokeReport


@task(
    task_run_name="decide about {entry.name}",
    description="Compare what was measured and answered with the entry's gates.",
    cache_policy=NO_CACHE,
)
def decide(
    entry: Entry, selection: Selection, report: SmokeReport, champion: Champion | None
) -> Decision:
    """Return whether the candidate may serve, with reasons."""
    results = decision.final_gates(entry, selection, report, champion)
    return Decision(gates=results, verdict=decision.judge(report, results))
