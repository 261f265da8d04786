"""``slipway predict``: one prompt to the champion, or to the candidate."""

from typing import Any

from commands import console
from slipway import catalogue
from slipway.checks.predict import PredictRequest
from slipway.checks.predict import predict as ask_copy
from slipway.errors import NoChampion, SourceMissing
from slipway.settings import Settings
from slipway.values import Contract


def predict(model: str, text: str, *, candidate: bool = False, json: bool = False) -> int:
    """Send one prompt to the champion and print its answer.

    A model server of this home that serves the version answers. Without one, the version is loaded.

    Args:
        model: Name of a released model.
        text: The prompt.
        candidate: Ask the version with the alias `candidate`, such as one that waits for approval.
        json: Print the result as JSON.
    """
    settings = Settings()
    contract = catalogue.find(settings.catalogue, model).wrappers.onnx
    version = _version(model, settings, candidate=candidate)
    response = _from_server(model, version, contract, text, settings)
    if response is None:
        response = _from_copy(model, version, contract, text, settings)
    prompted = contract == "prompt"
    answer = response["text"] if prompted else response["choices"][0]["message"]["content"]
    console.show(response) if json else console.say(answer)
    return 0


def _version(model: str, settings: Settings, *, candidate: bool) -> int:
    aliases: dict[str, int] = {}
    if settings.has_registry:
        from slipway.registry import open_registry

        aliases = dict(open_registry(settings).aliases(model))
    if version := aliases.get("candidate" if candidate else "champion"):
        return version
    if candidate:
        raise SourceMissing(f"a candidate of {model}", f"run `slipway release {model}`")
    if waiting := aliases.get("candidate"):
        advice = f"version {waiting} is its candidate; ask that one with --candidate"
        raise SourceMissing(f"a champion of {model}", advice)
    raise NoChampion(model)


def _from_server(
    model: str, version: int, contract: Contract, text: str, settings: Settings
) -> dict[str, Any] | None:
    """Return the answer of the model server that serves ``version``; None if none does."""
    folder = settings.server_folders / model
    if not (folder / "server.json").is_file():
        return None  # and nothing is imported that a server needs
    import httpx

    from slipway.redeploy import served_answer
    from slipway.serving.api_keys import own_headers
    from slipway.serving.protocol import Pointer

    wanted = Pointer(model=model, version=version)
    with httpx.Client(
        headers=own_headers(settings.home),
        timeout=settings.serving_request_seconds,
        trust_env=False,
    ) as client:
        return served_answer.ask(folder, wanted, contract, text, client)


def _from_copy(
    model: str, version: int, contract: Contract, text: str, settings: Settings
) -> dict[str, Any]:
    """Return the answer of the version, loaded from its verified copy in a child process."""
    from slipway.system.call import call
    from slipway.system.process import ProcessLimits
    from slipway.tracking.verified_copy import CopyPlace, CopyRequest, fetch

    files = fetch(CopyRequest(place=CopyPlace.of(settings), name=model, version=version))
    request = PredictRequest(
        version=f"{model} v{version}", folder=files.folder, contract=contract, text=text
    )
    limits = ProcessLimits(settings.step_timeout_seconds, None, settings.home.resolve() / "logs")
    return call(ask_copy, request, limits, step="predict").value
