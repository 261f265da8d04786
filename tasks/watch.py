"""Sources → Sightings: looked at, weighed, noted."""

from collections.abc import Sequence

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from slipway import catalogue
from slipway.settings import Settings
from slipway.tracking import last_seen
from slipway.values import Promoted, ReleaseStatus, SourceState, WatchResult
from slipway.watch import policy
from slipway.watch import poll as poll_module
from tasks.context import location, registry
from tasks.dispatch import attempts_of
from tasks.entries import entry_of, key_of
from tasks.policies import RETRIED


@task(
    task_run_name="look at the sources",
    description="Ask for the head of every source, and resolve those that moved.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=1800,
)
def poll(models: Sequence[str] | None) -> tuple[SourceState | WatchResult, ...]:
    """Return what is at the sources of ``models``, or of all that are released by themselves."""
    settings = Settings()
    known = catalogue.load(settings.catalogue)
    automatic = [entry for entry in known.values() if entry.automatic]
    entries = automatic if models is None else [*map(entry_of, models)]
    here = location(settings)
    remembered = {entry.name: last_seen.last_seen(entry.name, here) for entry in entries}
    return poll_module.poll(entries, {name: seen for name, seen in remembered.items() if seen})


@task(
    task_run_name="weigh what was seen",
    description="Compare each release key with the registry and with the releases under way.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=600,
)
def decide_each(looks: Sequence[SourceState | WatchResult]) -> tuple[WatchResult, ...]:
    """Return what follows from each look."""
    return tuple(_weighed(each) if isinstance(each, SourceState) else each for each in looks)


@task(
    task_run_name="note what was seen",
    description="Remember the heads in MLflow, and show all of it as a table.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=600,
)
def record(looks: Sequence[SourceState | WatchResult], results: Sequence[WatchResult]) -> None:
    """Remember what was seen, and show what follows from it."""
    here = location(Settings())
    for each in looks:
        if isinstance(each, SourceState) and each.now != each.before:
            last_seen.remember(each.model, each.now, here)
    create_table_artifact(
        [_row(result) for result in results],
        key="sources-seen",
        description="What was seen at the sources, and what follows from it.",
    )


def _weighed(seen: SourceState) -> WatchResult:
    key = key_of(entry_of(seen.model), seen.now.revision)
    return policy.decide(seen, key, _standing(seen.model, key))


def _standing(model: str, key: str) -> ReleaseStatus:
    models = registry()
    if release := models.released(model, key):
        reasons = "; ".join(release.verdict.reasons)
        quarantined = None if isinstance(release.verdict, Promoted) else reasons
        return ReleaseStatus(released=True, waiting=release.waiting, quarantined=quarantined)
    if refusal := models.refused(model, key):
        return ReleaseStatus(refused="; ".join(refusal.reasons))
    return ReleaseStatus(attempts=attempts_of(key))


def _row(result: WatchResult) -> dict[str, str]:
    return {
        "model": result.model,
        "commit": (result.commit or "-")[:8],
        "files": (result.digest or "-")[:8],
        "state": result.state,
        "why": result.reason,
    }
