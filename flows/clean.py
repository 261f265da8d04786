"""What nothing needs any more is deleted; runs weekly."""

from typing import Annotated, Any

from prefect import State, flow

from flows.parameters import titled
from slipway.values import CleanDecision
from tasks.clean import clean_home, clean_model
from tasks.entries import all_entries


@flow(name="clean", validate_parameters=True)
def clean(
    dry_run: Annotated[bool, titled("Only list what would be deleted")] = False,
) -> tuple[CleanDecision, ...]:
    """Delete versions by the retention of the catalogue, and caches, logs and results by age.

    What is champion, previous, candidate, pinned, waiting, or in use on this machine stays. A model
    that fails holds up no other one.

    Args:
        dry_run: Its log lists what a run would delete, and how many bytes each has.
    """
    states: list[State[Any]] = [
        clean_model(entry, dry_run=dry_run, return_state=True)
        for entry in all_entries()
        if entry.retention
    ]
    # last: the copies in the home tell when a version was loaded
    states.append(clean_home(dry_run=dry_run, return_state=True))
    return tuple(each for state in states for each in state.result())
