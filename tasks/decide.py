"""SmokeReport → Judgement."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from slipway.evaluation import decision
from slipway.values import Champion, Decision, Entry, Selection, SmokeReport


@task(
    task_run_name="judge {entry.name}",
    description="Weigh all that was measured and answered against the entry's gates.",
    cache_policy=NO_CACHE,
)
def decide(
    entry: Entry, choice: Selection, report: SmokeReport, champion: Champion | None
) -> Decision:
    """Return whether the candidate may serve, with reasons."""
    results = decision.final_gates(entry, choice, report, champion)
    return Decision(gates=results, verdict=decision.judge(report, results))
