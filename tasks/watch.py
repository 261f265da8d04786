"""Sources → WatchResults: polled, compared with the registry, remembered."""

from collections.abc import Sequence

from prefect import task
from prefect.artifacts import create_table_artifact

from slipway import catalogue
from slipway.settings import Settings
from slipway.tracking import last_seen
from slipway.values import Promoted, ReleaseStatus, SourceState, WatchResult
from slipway.watch import policy
from slipway.watch import poll as poll_module
from tasks.context import location, registry
from tasks.dispatch import attempts_of
from tasks.entries import entry_of, key_of
from tasks.policies import uncached


@task(
    task_run_name="poll the sources",
    description="Read the head of every source, and resolve those that moved.",
    **uncached(timeout_seconds=1800),
)
def poll(models: Sequence[str] | None) -> tuple[SourceState | WatchResult, ...]:
    """Return the state of the sources of ``models``, or of all entries that are automatic."""
    settings = Settings()
    known = catalogue.load(settings.catalogue)
    automatic = [entry for entry in known.values() if entry.automatic]
    entries = automatic if models is None else [*map(entry_of, models)]
    here = location(settings)
    remembered = {entry.name: last_seen.last_seen(entry.name, here) for entry in entries}
    return poll_module.poll(entries, {name: seen for name, seen in remembered.items() if seen})


@task(
    task_run_name="decide what to release",
    description="Compare each release key with the registry and with the releases under way.",
    **uncached(timeout_seconds=600),
)
def decide_each(states: Sequence[SourceState | WatchResult]) -> tuple[WatchResult, ...]:
    """Return what follows from the state of each source."""
    return tuple(_decided(each) if isinstance(each, SourceState) else each for each in states)


@task(
    task_run_name="remember the heads",
    description="Write the heads to MLflow, and show the results as a table.",
    **uncached(timeout_seconds=600),
)
def record(states: Sequence[SourceState | WatchResult], results: Sequence[WatchResult]) -> None:
    """Remember the state of the sources, and show what follows from it."""
    here = location(Settings())
    for each in states:
        if isinstance(each, SourceState) and each.now != each.before:
            last_seen.remember(each.model, each.now, here)
    create_table_artifact(
        [_row(result) for result in results],
        key="sources-seen",
        description="The state of the sources, and what follows from it.",
    )


def _decided(state: SourceState) -> WatchResult:
    key = key_of(entry_of(state.model), state.now.revision)
    return policy.decide(state, key, _status(state.model, key))


def _status(model: str, key: str) -> ReleaseStatus:
    models = registry()
    if release := models.released(model, key):
        reasons = "; ".join(release.verdict.reasons)
        quarantined = None if isinstance(release.verdict, Promoted) else reasons
        return ReleaseStatus(released=True, waiting=release.waiting, quarantined=quarantined)
    if rejection := models.earlier_rejection(model, key):
        return ReleaseStatus(refused="; ".join(rejection.reasons))
    return ReleaseStatus(attempts=attempts_of(key))


def _row(result: WatchResult) -> dict[str, str]:
    return {
        "model": result.model,
        "commit": (result.commit or "-")[:8],
        "files": (result.digest or "-")[:8],
        "state": result.state,
        "why": result.reason,
    }
