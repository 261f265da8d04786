"""The only place that starts releases, whatever the reason for one is."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound

from slipway.errors import SourceMissing
from slipway.values import RunState
from slipway.watch.policy import ATTEMPTS
from tasks.entries import entry_of
from tasks.pools import deployment_of
from tasks.start_run import start_run

_ENDS: dict[StateType, RunState] = {
    StateType.COMPLETED: "ended",
    StateType.CANCELLED: "cancelled",
    StateType.CANCELLING: "cancelled",
    StateType.FAILED: "failed",
    StateType.CRASHED: "failed",
}


@task(
    task_run_name="dispatch {model} {key:.8} attempt {attempt}",
    description="Start a release. A second call with the same key and attempt starts no other run.",
    cache_policy=NO_CACHE,
    timeout_seconds=120,
)
def dispatch(model: str, key: str, attempt: int, reason: str) -> str:
    """Return the id of the flow run that releases ``key``, started unless it was before.

    Prefect keeps the idempotency key for as long as the flow run exists, however it ended; so a
    failed attempt is repeated under another number. Runs that a person starts on the deployment's
    page have no such key; of those, the registry promotes one.

    Args:
        model: Name of the entry.
        key: The release key that made this necessary.
        attempt: From 1; see ``watch.policy.next_attempt``.
        reason: For the record; the flow run has it as a tag too.

    Raises:
        SourceMissing: If the deployment is not there.
    """
    deployment = deployment_of(entry_of(model))
    try:
        parameters, tags = {"model": model, "reason": reason}, ["slipway", reason]
        started = start_run(deployment, parameters, _idempotency_key(key, attempt), tags)
    except ObjectNotFound as error:
        raise SourceMissing(f"deployment {deployment}", "apply the deployments first") from error
    get_run_logger().info(f"{model}: {reason}; flow run {started.name}")
    return str(started.id)


def attempts_of(key: str) -> tuple[RunState, ...]:
    """Return what became of the flow runs that were started for ``key``."""
    numbers = range(1, ATTEMPTS + 1)
    wanted = FlowRunFilterIdempotencyKey(any_=[_idempotency_key(key, n) for n in numbers])
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=wanted))
    return tuple(_state(run) for run in runs)


def _state(run: FlowRun) -> RunState:
    return _ENDS.get(run.state_type, "running") if run.state_type else "running"


def _idempotency_key(key: str, attempt: int) -> str:
    return f"release:{key}:{attempt}"
