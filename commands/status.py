"""``slipway status`` and ``slipway predict``: what serves, and what it answers."""

import os
from typing import Any

from commands import console
from slipway import catalogue
from slipway.errors import NoChampion
from slipway.settings import Settings


def status(model: str | None = None, *, json: bool = False) -> int:
    """Show what is released: model, commit, both versions, champion.

    Args:
        model: Only this one; all of the catalogue if it is not named.
        json: Print it as JSON.
    """
    settings = Settings()
    entries = catalogue.load(settings.catalogue)
    names = [catalogue.find(settings.catalogue, model).name] if model else list(entries)
    found = [_state(name, settings) for name in names]
    if json:
        console.show(found)
        return 0
    rows = [
        [str(state[field] if state[field] is not None else "-") for field in _COLUMNS]
        for state in found
    ]
    console.table("Released", _COLUMNS, rows)
    return 0


_COLUMNS = ("model", "commit", "variant", "champion", "reference", "previous", "candidate")


def _state(name: str, settings: Settings) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(_COLUMNS)
    if not settings.has_registry:
        return empty | {"model": name}
    from slipway.registry import registered_name
    from slipway.tracking.tag_values import ReleaseOrigin
    from tasks.context import registry

    models = registry()
    aliases = models.aliases(name)
    reference = models.champion(registered_name(name, "transformers"))
    champion = aliases.get("champion")
    origin = ReleaseOrigin.from_tags(models.tags(name, champion) if champion else {})
    return {
        "model": name,
        "commit": origin.commit or None,
        "variant": origin.variant or None,
        "champion": champion,
        "reference": reference,
        "previous": aliases.get("previous"),
        "candidate": aliases.get("candidate"),
    }


def predict(model: str, text: str, *, json: bool = False) -> int:
    """Ask the model that serves, as its users would.

    Args:
        model: Name of a released model.
        text: What to ask.
        json: Print the whole response as JSON.
    """
    settings = Settings()
    entry = catalogue.find(settings.catalogue, model)
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    from slipway.registry import open_registry

    registry = open_registry(settings)
    if registry.champion(model) is None:
        raise NoChampion(model)
    loaded = registry.load_champion(model)
    if entry.wrappers.onnx == "prompt":
        answer = loaded.predict({"prompt": text})[0]
        console.show({"text": answer}) if json else print(answer)
        return 0
    response = loaded.predict({"messages": [{"role": "user", "content": text}]})[0]
    console.show(response) if json else print(response["choices"][0]["message"]["content"])
    return 0
