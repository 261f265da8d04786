"""A switch that is being watched → what its figures say, and a rollback if they are too bad."""

from datetime import UTC, datetime

from prefect import get_run_logger, task
from prefect.exceptions import ObjectNotFound

from slipway import catalogue
from slipway.errors import MoveRefused, UnknownModel, Unreachable
from slipway.redeploy import watch_record
from slipway.redeploy.switch_watch import (
    Registered,
    RollBackSwitch,
    WatchedSwitch,
    WatchEnded,
    WatchVerdict,
    judge,
)
from slipway.serving.api_keys import own_headers
from slipway.settings import Settings
from slipway.values import AuditInfo, SwitchLimits
from tasks.context import registry, server_folder
from tasks.policies import uncached
from tasks.roll_back import announce
from tasks.start_run import start_run

DEPLOYMENT = "watch-switch/watch-switch"

#: Who rolls back, for the record.
ACTOR = "watch"

_NOT_WATCHED = WatchEnded(reason="no switch is being watched")


def begin_watch(model: str, version: int, before: int) -> bool:
    """Return whether the switch that is about to begin will be watched.

    It is not if the entry does not ask for it, or if the serving version could not be restored: so
    a rollback is not watched, and not rolled back in turn.
    """
    folder = server_folder(model)
    watch_record.end(folder)
    if _limits(model) is None or before == version or _obstacle(model, before):
        return False
    try:
        watch_record.begin(folder, model, version, before, own_headers(Settings().home))
    except Unreachable as error:
        get_run_logger().warning(f"the switch will not be watched: {error}")
    return watch_record.pending(folder) is not None


def watched_models() -> tuple[str, ...]:
    """Return the models with a switch that is being watched on this machine."""
    folders = sorted(Settings().server_folders.glob("*"))
    return tuple(folder.name for folder in folders if watch_record.pending(folder))


@task(
    task_run_name="look at {model}",
    description="Compare what the served version did since its switch with its limits.",
    **uncached(timeout_seconds=120),
)
def look(model: str) -> WatchVerdict:
    """Return what the figures of the switch say.

    The next look is scheduled first, since this one or a rollback may fail. After a verdict, the
    next look finds that no switch is being watched.
    """
    folder = server_folder(model)
    switch, limits = watch_record.pending(folder), _limits(model)
    if switch is None or limits is None:
        watch_record.end(folder)
        return _NOT_WATCHED
    now = datetime.now(UTC)
    if ahead := switch.next_look(limits, now):
        _look_again(switch, *ahead)
    registered = Registered(
        champion=registry().champion(model), obstacle=_obstacle(model, switch.before)
    )
    figures = watch_record.figures_since(folder, switch, own_headers(Settings().home))
    verdict = judge(switch, limits, registered, now, figures)
    get_run_logger().info(f"{switch.model} v{switch.version}: {verdict.reason}")
    if isinstance(verdict, WatchEnded):
        watch_record.end(folder)
    return verdict


@task(
    task_run_name="roll back {model} after its switch",
    description="Return the alias to the version that served before, and quarantine the new one.",
    **uncached(timeout_seconds=900),
)
def roll_back_switch(model: str, verdict: RollBackSwitch) -> RollBackSwitch | WatchEnded:
    """Return the verdict once it is carried out; another one if somebody moved the alias first."""
    folder = server_folder(model)
    switch = watch_record.pending(folder)
    if switch is None or switch.version != verdict.version:  # another switch began since the look
        return _NOT_WATCHED
    audit = AuditInfo(actor=ACTOR, reason=verdict.reason)
    try:
        change = registry().roll_back(model, switch.before, audit, switch.version)
    except MoveRefused as error:
        watch_record.end(folder)
        return WatchEnded(reason=f"{verdict.reason}; not rolled back: {error.reason}")
    watch_record.end(folder)
    announce(model, change, verdict.reason)
    return verdict


def _limits(model: str) -> SwitchLimits | None:
    """Return the limits of an entry; None if it has none, or if it was deleted since."""
    try:
        return catalogue.find(Settings().catalogue, model).watch
    except UnknownModel:
        return None


def _obstacle(model: str, version: int) -> str | None:
    """Return why a version could not be restored; None if it could be."""
    state = registry().state(model, version)
    return state.obstacle if state else "is gone"


def _look_again(switch: WatchedSwitch, number: int, at: datetime) -> None:
    """Start the next look, once; where no deployment is applied, ``reconcile`` looks again."""
    key = f"watch:{switch.model}:{switch.version}:{switch.at.isoformat()}:{number}"
    try:
        start_run(DEPLOYMENT, {"model": switch.model}, key, at=at)
    except ObjectNotFound:
        get_run_logger().warning("no deployment watch-switch: the next look is that of reconcile")
