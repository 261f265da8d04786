"""SmokeReport → Judgement."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from slipway import verdict
from slipway.values import Champion, Choice, Entry, Judgement, SmokeReport


@task(
    task_run_name="judge {entry.name}",
    description="Weigh all that was measured and answered against the entry's gates.",
    cache_policy=NO_CACHE,
)
def judge(
    entry: Entry, choice: Choice, report: SmokeReport, champion: Champion | None
) -> Judgement:
    """Return whether the candidate may serve, with reasons."""
    results = verdict.final_gates(entry, choice, report, champion)
    return Judgement(gates=results, verdict=verdict.judge(report, results))
