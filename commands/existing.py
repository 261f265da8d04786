"""A release that is there already, found without a Prefect server.

A temporary server takes longer to start than all the rest, and nobody would look at its run.
"""

from commands import console
from slipway import catalogue
from slipway.errors import SlipwayError
from slipway.registry import open_registry
from slipway.registry.lookup import release_key
from slipway.settings import Settings
from slipway.sources import checkpoint
from slipway.values import Release


def find(model: str, ref: str | None, recipe: str, settings: Settings) -> Release | None:
    """Return the finished release that a person requests, if nothing is left to do about it.

    Args:
        model: An entry of the catalogue.
        ref: As ``catalogue.as_requested`` takes it; likewise the recipe.
        recipe: What to build.
        settings: Of this command.

    Returns:
        None if the flow has to run: to release, to finish what was interrupted, to ask a person, to
        warn, to try again, or since a server that keeps its runs would show this one too.

    Raises:
        SlipwayError: If the source cannot be read, and trying again does not help.
    """
    if settings.prefect_api_url or not settings.has_registry:
        return None
    entry = catalogue.find(settings.catalogue, model, warn=catalogue.ignore)
    entry = catalogue.as_requested(entry, ref, recipe)
    try:
        revision = checkpoint.resolve(entry)
    except SlipwayError as error:
        if error.retryable:
            return None
        raise
    registry = open_registry(settings)
    for ended in registry.recover(model):
        console.note(f"{model}: {ended}")
    release = registry.released(model, release_key(entry, revision, settings))
    is_done = release and not release.waiting and not registry.pending_events(model)
    return release if is_done and registry.champion(model) else None
