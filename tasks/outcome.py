"""What a flow returns → the final state of its run, which says how it ended."""

from typing import Any, TypeVar, cast

from prefect import State, get_run_logger
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Completed

from slipway.redeploy.switch_watch import WatchVerdict
from slipway.redeploy.values import DeployRejected, Redeployed, Redeployment, Unchanged
from slipway.values import AliasChange, Inconclusive, Rejected, Release
from tasks.inform import informing

Outcome = TypeVar(
    "Outcome",
    bound=Release | AliasChange | Redeployed | Unchanged | DeployRejected | WatchVerdict,
)

REJECTED, INCONCLUSIVE = "Rejected", "Inconclusive"
WAITING, EXISTED = "Waiting for approval", "Already released"
HANDED_OVER = "Handed over"

#: Names of the states in which a run ends that promoted nothing; its type is ``COMPLETED``.
NAMES = (REJECTED, INCONCLUSIVE, WAITING, EXISTED, HANDED_OVER)


def ended(outcome: Outcome) -> Outcome:
    """Return the final state of this run, with ``outcome`` as its result.

    Prefect gives the result to whoever called the flow. The state's name and message are on the
    run's page.
    """
    name, message = _state(outcome)
    return cast("Outcome", final_state(name, message, outcome))


def final_state(name: str | None, message: str, result: Any = None) -> State[Any]:
    """Return the final state of this run.

    Its name is a tag of the run too, since the page of all runs filters by tags.

    Args:
        name: None for Prefect's own.
        message: What its page says.
        result: Of the flow.
    """
    get_run_logger().info(f"{name or 'Completed'}: {message}")
    if name:
        _tag(name.lower().replace(" ", "-"))
    fields: dict[str, Any] = {"name": name} if name else {}
    return Completed(message=message[:1000], data=result, **fields)


def _state(outcome: Release | AliasChange | Redeployment | WatchVerdict) -> tuple[str | None, str]:
    """Return the name of the final state, None for Prefect's own, and its message."""
    match outcome:
        case Release():
            return _release(outcome)
        case AliasChange():
            after = (
                f"version {outcome.after} is champion" if outcome.after else "no champion is left"
            )
            since = f", after version {outcome.before}" if outcome.before else ""
            return None, f"{after}{since}: {outcome.audit.reason}"
        case DeployRejected():
            serving = f"version {outcome.serving} is still serving"
            return (
                REJECTED,
                f"version {outcome.version} is quarantined: {outcome.reason}; {serving}",
            )
        case Redeployed():
            return None, f"version {outcome.version} is serving, after version {outcome.before}"
    return None, outcome.reason


def _release(release: Release) -> tuple[str | None, str]:
    model, version = release.versions.model, release.versions.onnx.version
    reasons = "; ".join(release.verdict.brief)
    if isinstance(release.verdict, Rejected):
        return REJECTED, reasons
    if isinstance(release.verdict, Inconclusive):
        return INCONCLUSIVE, reasons
    if release.waiting:
        how = f"slipway approve {model} --reason TEXT"
        return WAITING, f"version {version} waits for approval ({how}): {reasons}"
    if release.existed:
        return EXISTED, f"version {version} is this release: {reasons}"
    aliases = release.promotion.aliases if release.promotion else ()
    return None, f"version {version} is {', '.join(aliases)}: {reasons}"


def _tag(name: str) -> None:
    with informing(f"the tag {name}"), get_client(sync_client=True) as client:
        tags = {*client.read_flow_run(flow_run.id).tags, name}
        client.update_flow_run(flow_run.id, tags=tags)
