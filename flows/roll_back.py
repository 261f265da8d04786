"""The previous champion is restored."""

from prefect import flow

from flows.parameters import FailedVersion, Model, PreviousVersion, Reason
from slipway.values import AliasChange
from tasks.entries import entry_of
from tasks.outcome import ended
from tasks.roll_back import swap_back


@flow(name="roll-back", flow_run_name="roll back {model}", validate_parameters=True)
def roll_back(
    model: Model,
    reason: Reason,
    failed: FailedVersion = None,
    to: PreviousVersion = None,
) -> AliasChange:
    """Restore the previous champion, and quarantine the one that failed.

    Its files are compared with what was released before anything changes. Nothing promotes the
    failed version again, until somebody releases it with `lift_quarantine`.

    Args:
        model: Whose champion is taken out: an entry of catalogue.toml.
        reason: What went wrong; the history and the version show it.
        failed: Its number in the registry; 0 for the one that was champion when you pressed Run. If
            another one is champion by then, nothing is changed.
        to: Its number in the registry; 0 for the previous champion, the alias "previous".
    """
    return ended(swap_back(entry_of(model).name, failed or None, to or None, reason))
