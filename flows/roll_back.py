"""The way back: the champion of before serves again."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.parameters import Model
from slipway.values import Move
from tasks.entries import entry_of
from tasks.roll_back import swap_back


@flow(name="roll-back", flow_run_name="roll back {model}", validate_parameters=True)
def roll_back(
    model: Model,
    reason: Annotated[str, Field(min_length=1)],
    failed: int | None = None,
    to: int | None = None,
) -> Move:
    """Let the champion of before serve again, and quarantine the one that failed.

    Its bytes are compared with those that were released first. Nothing promotes the failed version
    again, until somebody releases it with `lift_quarantine`.

    Args:
        model: Name of an entry in catalogue.toml.
        reason: What went wrong, for the record.
        failed: Version that failed; the one that was champion when you asked, if it is not named.
            If another one is champion by then, nothing is moved.
        to: Version to go back to; the alias `previous` if it is not named.
    """
    return swap_back(entry_of(model), failed, to, reason)
