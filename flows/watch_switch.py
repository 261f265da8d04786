"""A version that began to serve is watched for a while, and rolled back if it serves too badly."""

from prefect import flow

from flows.parameters import Model
from slipway.redeploy.switch_watch import RollBackSwitch, WatchVerdict
from tasks.outcome import ended
from tasks.watch_switch import look, roll_back_switch


@flow(name="watch-switch", flow_run_name="watch {model}", validate_parameters=True)
def watch_switch(model: Model) -> WatchVerdict:
    """Look once at what the served version did since its switch.

    Without a verdict the next look is scheduled, until the time of the watch is over. Running it
    again is safe.

    Args:
        model: An entry of catalogue.toml with a field `watch`.
    """
    verdict = look(model)
    if isinstance(verdict, RollBackSwitch):
        return ended(roll_back_switch(model, verdict))
    return ended(verdict)
