"""``slipway variants``: the ready ONNX artifacts that a repository publishes."""

import os

from commands import console
from slipway.errors import SourceMissing
from slipway.settings import Settings
from slipway.sources import hub
from slipway.sources import variants as rules
from slipway.values import SelectRecipe, Target, Variant, VariantPrecision

_COLUMNS = ("folder", "target", "precision", "method", "block", "level", "model", "size")


def variants(
    repo: str,
    *,
    ref: str = "main",
    target: Target = "cpu",
    precision: VariantPrecision | None = None,
    json: bool = False,
) -> int:
    """List the ready ONNX artifacts of a repository, and say which one a recipe would select.

    Args:
        repo: `organisation/name` on the Hub.
        ref: Branch, tag or commit of it.
        target: Execution provider that the recipe would name.
        precision: Type of the weights that the recipe would name; without it nothing is selected.
        json: Print them as JSON.
    """
    if repo.count("/") != 1:
        raise SourceMissing(f"repository {repo}", "name it as organisation/name")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the client reads it when imported
    endpoint = Settings().hub_endpoint or None
    commit, found = hub.published_variants(repo, ref, endpoint)
    if not json:
        console.table(f"Variants of {repo}@{commit[:8]}", _COLUMNS, map(_row, found))
    chosen = None
    if precision:
        recipe = SelectRecipe(repo=repo, ref=ref, target=target, precision=precision)
        chosen = rules.choose(repo, found, recipe).name
    if json:
        listed = [variant.model_dump(mode="json") for variant in found]
        console.show({"repo": repo, "commit": commit, "variants": listed, "selected": chosen})
    elif chosen:
        print(f"\n{target} {precision} selects {chosen}")
    return 0


def _row(variant: Variant) -> tuple[str, ...]:
    told = (
        variant.precision,
        variant.method,
        variant.block_size,
        variant.accuracy_level,
        variant.model,
    )
    words = ("-" if each is None else str(each) for each in told)
    size = console.megabytes(variant.size_bytes)
    lacking = f"lacks {', '.join(variant.missing)}"
    return (variant.name, variant.target, *words, lacking if variant.missing else size)
