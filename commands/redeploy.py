"""``slipway redeploy``: make the model server serve the champion now."""

from commands import console, prefect_server
from slipway import catalogue
from slipway.redeploy import model_server
from slipway.redeploy.values import DeployRejected, Redeployed, Redeployment
from slipway.settings import Settings


def redeploy(model: str, *, json: bool = False) -> int:
    """Make the model server serve the champion; a champion that fails is quarantined.

    Args:
        model: Name of a model whose server is running.
        json: Print the result as JSON.
    """
    settings = Settings()
    catalogue.find(settings.catalogue, model)  # fails before anything is started
    console.prepare_prefect(settings, quiet=json)
    prefect_server.require(settings)
    model_server.require(settings.server_folders / model, model, settings.serving_url)

    from flows.redeploy import redeploy as flow

    outcome = flow(model)
    if json:
        console.show(outcome.model_dump(mode="json"))
    else:
        console.say(sentence(outcome))
    return 3 if isinstance(outcome, DeployRejected) else 0


def sentence(outcome: Redeployment) -> str:
    """Return one line that says how a redeploy ended."""
    match outcome:
        case Redeployed():
            seconds = outcome.preflight_seconds + outcome.switch_seconds
            text = f"version {outcome.version} is serving, after version {outcome.before}"
            return f"{outcome.model}: {text}; {seconds:.0f} s"
        case DeployRejected():
            text = f"version {outcome.version} is quarantined: {outcome.reason}"
            return f"{outcome.model}: version {outcome.serving} is still serving; {text}"
        case _:
            return f"{outcome.model}: {outcome.reason}"
