"""SmokeReport → Decision."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from slipway.evaluation import decision
from slipway.values import Champion, Decision, Gates, Selection, SmokeReport


@task(
    task_run_name="decide about {selection.variant}",
    description="Compare what was measured and answered with the gates.",
    cache_policy=NO_CACHE,
)
def decide(
    gates: Gates, selection: Selection, report: SmokeReport, champion: Champion | None
) -> Decision:
    """Return whether the candidate may serve, with reasons."""
    results = decision.final_gates(gates, selection, report, champion)
    verdict = decision.judge(report, results, selection.chosen.accepted)
    return Decision(gates=results, verdict=verdict)
