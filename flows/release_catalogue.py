"""Every model of the catalogue, each in a run of its own."""

from prefect import flow
from prefect.runtime import flow_run

from tasks.dispatch import dispatch
from tasks.entries import all_entries


@flow(name="release-catalogue", flow_run_name="release the catalogue", validate_parameters=True)
def release_catalogue() -> tuple[str, ...]:
    """Start a release of every automatic model, and return the ids of their runs.

    A retry of this run starts none twice, and a finished release is not repeated.
    """
    started = [
        dispatch(
            entry.name, f"{flow_run.id}:{entry.name}", 1, "release-catalogue", return_state=True
        )
        for entry in all_entries()
        if entry.automatic
    ]
    return tuple(state.result() for state in started)  # a failure, once the others are started
