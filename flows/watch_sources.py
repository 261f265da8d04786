"""The watch: sources are looked at, and what is new is released."""

from prefect import flow

from slipway.values import Sighting
from tasks.dispatch import dispatch
from tasks.watch import look, note, weigh


@flow(name="watch-sources", flow_run_name="watch the sources", validate_parameters=True)
def watch_sources(models: list[str] | None = None) -> tuple[Sighting, ...]:
    """Start a release of every model whose source has something that was not released yet.

    Running it again is safe, also at the same time: the same files are released once.

    Args:
        models: Names of entries in catalogue.toml; all of them if none are named.
    """
    looks = look(models)
    sightings = weigh(looks)
    note(looks, sightings)

    for sighting in sightings:
        if sighting.key and sighting.attempt:
            dispatch(sighting.model, sighting.key, sighting.attempt, sighting.reason)
    return sightings
