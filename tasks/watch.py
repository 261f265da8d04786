"""Sources → WatchResults: polled, compared with the registry, remembered."""

from collections.abc import Sequence
from contextlib import suppress

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact

from slipway.errors import ExperimentDeleted
from slipway.report.markdown import escape
from slipway.settings import Settings
from slipway.tracking import last_seen
from slipway.tracking.location import mlflow_location
from slipway.values import Promoted, ReleaseStatus, SourceState, WatchResult, short
from slipway.watch import policy
from slipway.watch import poll as poll_module
from tasks.context import registry
from tasks.dispatch import attempts_of
from tasks.entries import all_entries, entry_of, key_of
from tasks.inform import informing
from tasks.policies import uncached


@task(
    task_run_name="poll the sources",
    description="Read the head of every source, and resolve those that moved.",
    **uncached(timeout_seconds=1800),
)
def poll(models: Sequence[str] | None) -> tuple[SourceState | WatchResult, ...]:
    """Return the state of the sources of ``models``, or of all entries that are automatic."""
    automatic = [entry for entry in all_entries() if entry.automatic]
    entries = automatic if models is None else [*map(entry_of, models)]
    here = mlflow_location(Settings())
    remembered = {entry.name: last_seen.last_seen(entry.name, here) for entry in entries}
    return poll_module.poll(entries, {name: seen for name, seen in remembered.items() if seen})


@task(
    task_run_name="decide what to release",
    description="Compare each release key with the registry and with the releases under way.",
    **uncached(timeout_seconds=600),
)
def decide_each(states: Sequence[SourceState | WatchResult]) -> tuple[WatchResult, ...]:
    """Return what follows from the state of each source."""
    registry()  # where MLflow does not answer, that is no model's trouble
    return tuple(_decided(each) if isinstance(each, SourceState) else each for each in states)


@task(
    task_run_name="remember the heads",
    description="Write the heads to MLflow, and show the results as a table.",
    **uncached(timeout_seconds=600),
)
def record(states: Sequence[SourceState | WatchResult], results: Sequence[WatchResult]) -> None:
    """Remember the state of the sources, and show what follows from it."""
    here = mlflow_location(Settings())
    for each in states:
        if isinstance(each, SourceState) and each.now != each.before:
            with suppress(ExperimentDeleted):  # its row says so already
                last_seen.remember(each.model, each.now, here)
    with informing("the table of sources"):
        create_table_artifact(
            [_row(result) for result in results],
            key="sources-seen",
            description="The state of the sources, and what follows from it.",
        )


def _decided(state: SourceState) -> WatchResult:
    try:
        key = key_of(entry_of(state.model), state.now.revision)
        return policy.decide(state, key, _status(state.model, key))
    except Exception as error:  # noqa: BLE001 - one entry's trouble is the row of that entry
        get_run_logger().warning(f"{state.model}: {error}")
        return policy.unanswered(state.model, error)


def _status(model: str, key: str) -> ReleaseStatus:
    models = registry()
    models.require_experiments(model)
    if release := models.released(model, key):
        reasons = "; ".join(release.verdict.reasons)
        quarantined = None if isinstance(release.verdict, Promoted) else reasons
        return ReleaseStatus(released=True, waiting=release.waiting, quarantined=quarantined)
    if rejection := models.earlier_rejection(model, key):
        return ReleaseStatus(refused="; ".join(rejection.reasons))
    return ReleaseStatus(attempts=attempts_of(key))


def _row(result: WatchResult) -> dict[str, str]:
    """Return a row of the table, each cell of which Prefect's page renders as Markdown."""
    return {
        "model": result.model,
        "commit": short(result.commit or "-"),
        "files": (result.digest or "-")[:8],
        "state": result.state,
        "why": escape(result.reason, 500),
    }
