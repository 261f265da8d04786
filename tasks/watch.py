"""Sources → Sightings: looked at, weighed, noted."""

from collections.abc import Sequence

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from slipway import catalogue, lookout, tracking, watching
from slipway.settings import Settings
from slipway.values import Promote, Seen, Sighting, Standing
from tasks.dispatch import attempts_of
from tasks.edge import place, registry
from tasks.entries import entry_of, key_of
from tasks.policies import RETRIED


@task(
    task_run_name="look at the sources",
    description="Ask for the head of every source, and resolve those that moved.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=1800,
)
def look(models: Sequence[str] | None) -> tuple[Seen | Sighting, ...]:
    """Return what is at the sources of ``models``, or of all that are released by themselves."""
    settings = Settings()
    known = catalogue.load(settings.catalogue)
    automatic = [entry for entry in known.values() if entry.automatic]
    entries = automatic if models is None else [*map(entry_of, models)]
    here = place(settings)
    remembered = {entry.name: tracking.watched(entry.name, here) for entry in entries}
    return lookout.look(entries, {name: seen for name, seen in remembered.items() if seen})


@task(
    task_run_name="weigh what was seen",
    description="Compare each release key with the registry and with the releases under way.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=600,
)
def weigh(looks: Sequence[Seen | Sighting]) -> tuple[Sighting, ...]:
    """Return what follows from each look."""
    return tuple(_weighed(each) if isinstance(each, Seen) else each for each in looks)


@task(
    task_run_name="note what was seen",
    description="Remember the heads in MLflow, and show all of it as a table.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=600,
)
def note(looks: Sequence[Seen | Sighting], sightings: Sequence[Sighting]) -> None:
    """Remember what was seen, and show what follows from it."""
    here = place(Settings())
    for each in looks:
        if isinstance(each, Seen) and each.now != each.before:
            tracking.remember(each.model, each.now, here)
    create_table_artifact(
        [_row(sighting) for sighting in sightings],
        key="sources-seen",
        description="What was seen at the sources, and what follows from it.",
    )


def _weighed(seen: Seen) -> Sighting:
    key = key_of(entry_of(seen.model), seen.now.revision)
    return watching.decide(seen, key, _standing(seen.model, key))


def _standing(model: str, key: str) -> Standing:
    models = registry()
    if release := models.released(model, key):
        reasons = "; ".join(release.verdict.reasons)
        quarantined = None if isinstance(release.verdict, Promote) else reasons
        return Standing(released=True, waiting=release.waiting, quarantined=quarantined)
    if refusal := models.refused(model, key):
        return Standing(refused="; ".join(refusal.reasons))
    return Standing(attempts=attempts_of(key))


def _row(sighting: Sighting) -> dict[str, str]:
    return {
        "model": sighting.model,
        "commit": (sighting.commit or "-")[:8],
        "files": (sighting.digest or "-")[:8],
        "state": sighting.state,
        "why": sighting.reason,
    }
