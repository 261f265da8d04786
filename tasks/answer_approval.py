"""A person's answer → a champion, or a candidate in quarantine."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from slipway.errors import MoveRefused
from slipway.settings import Settings
from slipway.values import ApprovalDecision, Release
from tasks.approval import carried_out
from tasks.context import audit_info, registry
from tasks.policies import RETRIED


def waiting(model: str) -> int:
    """Return the version that waits for an answer.

    Raises:
        MoveRefused: If none does.
    """
    version = registry().waiting(model)
    if version is None:
        advice = f"slipway history {model} shows what was decided"
        raise MoveRefused(model, "no candidate waits for approval", advice)
    return version


def open_form(model: str, version: int) -> str:
    """Return what the form shows, and note that this run's form is the one that asks."""
    models = registry()
    models.note_form(model, version, str(flow_run.id))
    page = f"{Settings().mlflow_url}/#/models/{model}/versions/{version}"
    return f"{models.description(model, version)}\n\n[The version in MLflow]({page})"


@task(
    task_run_name="{decision} {model} v{version}",
    description="Carry out what a person decided; the first answer counts.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=900,
)
def answer_approval(model: str, version: int, decision: ApprovalDecision, reason: str) -> Release:
    """Return the release as it is after the answer."""
    release = registry().decide(model, version, decision, audit_info(reason))
    carried_out(release)
    return release
