"""The way back: the champion of before serves again."""

from prefect import flow

from flows.parameters import Model, PreviousVersion, Reason
from slipway.values import Move
from tasks.entries import entry_of
from tasks.roll_back import swap_back


@flow(name="roll-back", flow_run_name="roll back {model}", validate_parameters=True)
def roll_back(
    model: Model,
    reason: Reason,
    to: PreviousVersion = None,
) -> Move:
    """Let the champion of before serve again, and quarantine the one that failed.

    Its bytes are compared with those that were released first. Nothing promotes the failed version
    again, until somebody releases it with `lift_quarantine`.

    Args:
        model: Whose champion is taken out: an entry of catalogue.toml.
        reason: What went wrong; it stands in the history and on the version.
        to: Its number in the registry; 0 for the champion of before, the alias "previous".
    """
    return swap_back(entry_of(model), to or None, reason)
