"""``slipway redeploy``: make the champion serve now."""

from commands import console
from slipway import catalogue
from slipway.redeploy import DeployRejected, Redeployed, Redeployment
from slipway.settings import Settings


def redeploy(model: str, *, json: bool = False) -> int:
    """Make the champion serve, without a failed request; a bad one is quarantined.

    Args:
        model: Name of a model that a server serves.
        json: Print the result as JSON, and nothing else.
    """
    settings = Settings()
    catalogue.find(settings.catalogue, model)  # what can be told before anything starts, is
    console.prepare_prefect(settings, quiet=json)

    from flows.redeploy import redeploy as flow

    console.shorten_errors()
    outcome = flow(model)
    if json:
        console.show(outcome.model_dump(mode="json"))
    else:
        print(sentence(outcome))
    return 3 if isinstance(outcome, DeployRejected) else 0


def sentence(outcome: Redeployment) -> str:
    """Say how it ended."""
    match outcome:
        case Redeployed():
            seconds = outcome.trial_seconds + outcome.switch_seconds
            return (
                f"{outcome.model}: version {outcome.version} serves, after version "
                f"{outcome.before}; {seconds:.0f} s"
            )
        case DeployRejected():
            return (
                f"{outcome.model}: version {outcome.serving} serves on; version "
                f"{outcome.version} is quarantined: {outcome.reason}"
            )
        case _:
            return f"{outcome.model}: {outcome.reason}"
