"""Every model of the catalogue, each in a run of its own."""

from prefect import flow
from prefect.runtime import flow_run

from slipway import catalogue
from slipway.settings import Settings
from tasks.dispatch import dispatch


@flow(name="release-catalogue", flow_run_name="release the catalogue", validate_parameters=True)
def release_catalogue() -> tuple[str, ...]:
    """Start a release of every automatic model, and return the ids of their runs.

    A retry of this run starts none twice, and a finished release is not repeated.
    """
    entries = catalogue.load(Settings().catalogue)
    return tuple(
        dispatch(name, f"{flow_run.id}:{name}", 1, "release-catalogue")
        for name, entry in entries.items()
        if entry.automatic
    )
