"""SmokeReport → Verdict."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from slipway import verdict
from slipway.values import Entry, SmokeReport, Verdict


@task(
    task_run_name="judge {entry.name}",
    description="Weigh the smoke test against the entry's gates.",
    cache_policy=NO_CACHE,
)
def judge(entry: Entry, report: SmokeReport) -> Verdict:
    """Return whether the candidate may serve, with reasons."""
    return verdict.judge(report, entry.gates)
