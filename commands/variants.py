"""``slipway variants``: the ONNX artifacts that a repository publishes."""

import os

from commands import console
from slipway.errors import SourceMissing
from slipway.settings import Settings
from slipway.sources import hub
from slipway.sources import variants as rules
from slipway.values import Target, Variant, VariantChoice, VariantPrecision

_VARIANT_COLUMNS = ("folder", "target", "precision", "method", "block", "level", "model", "size")


def variants(
    repo: str,
    *,
    ref: str = "main",
    target: Target = "cpu",
    precision: VariantPrecision | None = None,
    json: bool = False,
) -> int:
    """List the ONNX artifacts that a repository publishes, and the one that a recipe would select.

    Args:
        repo: `organisation/name` on the Hub.
        ref: Branch, tag or commit.
        target: Execution provider that the recipe names.
        precision: Type of the weights that the recipe names. If given, the command also shows which
            artifact a recipe with this target and precision would select.
        json: Print the result as JSON.
    """
    if repo.count("/") != 1:
        raise SourceMissing(f"repository {repo}", "name it as organisation/name")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the client reads it when imported
    commit, found = hub.published_variants(repo, ref, Settings().hub_endpoint or None)
    if not json:
        console.table(f"Variants of {repo}@{commit[:8]}", _VARIANT_COLUMNS, map(_variant, found))
    selected = None
    if precision:
        wanted = VariantChoice(target=target, precision=precision)
        selected = rules.choose(repo, found, wanted).name
    if json:
        listed = [variant.model_dump(mode="json") for variant in found]
        console.show({"repo": repo, "commit": commit, "variants": listed, "selected": selected})
    elif selected:
        console.say(f"\n{target} {precision} selects {selected}")
    return 0


def _variant(found: Variant) -> tuple[str, ...]:
    details = (found.precision, found.method, found.block_size, found.accuracy_level, found.model)
    size = console.megabytes(found.size_bytes)
    return (
        found.name,
        found.target,
        *("-" if each is None else str(each) for each in details),
        f"lacks {', '.join(found.missing)}" if found.missing else size,
    )
