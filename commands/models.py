"""``slipway models``: what the catalogue has."""

from commands import console
from slipway import catalogue
from slipway.settings import Settings
from slipway.values import Entry, SearchRecipe, SelectRecipe

_MODEL_COLUMNS = ("name", "source", "artifact", "contract", "schedule (UTC)")


def models(*, json: bool = False) -> int:
    """List the models of the catalogue.

    Args:
        json: Print the result as JSON.
    """
    entries = catalogue.load(Settings().catalogue).values()
    if json:
        console.show([entry.model_dump(mode="json") for entry in entries])
    else:
        console.table("Models", _MODEL_COLUMNS, map(_model, entries))
    return 0


def _model(entry: Entry) -> tuple[str, ...]:
    recipe = entry.recipe
    names: list[str] = [candidate.precision for candidate in recipe.candidates]
    repo = ""
    if isinstance(recipe, SearchRecipe):
        limit = f"KL {recipe.max_kl}" if recipe.max_kl else f"{recipe.max_size_mb:g} MB"
        names = [f"search between int4 and int8, at most {limit}"]
    if isinstance(recipe, SelectRecipe):
        names = [f"{candidate.target} {candidate.precision}" for candidate in recipe.candidates]
        repo = f" of {recipe.repo}"
    artifact = f"{recipe.prefer} of {', '.join(names)}" if len(names) > 1 else names[0]
    artifact += repo
    return entry.name, entry.source.repo, artifact, entry.wrappers.onnx, entry.schedule or "-"
