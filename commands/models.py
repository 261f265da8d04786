"""``slipway models``, ``plan`` and ``variants``: what can be released; nothing is started."""

import os

from commands import console
from slipway import catalogue
from slipway.errors import SourceMissing
from slipway.report import plan as plans
from slipway.settings import Settings, toolchain
from slipway.sources import checkpoint, hub
from slipway.sources import variants as rules
from slipway.system.store import Store
from slipway.values import (
    Entry,
    QuantizeRecipe,
    Revision,
    SelectRecipe,
    Target,
    Variant,
    VariantPrecision,
)

_MODEL_COLUMNS = ("name", "source", "artifact", "contract", "schedule (UTC)")
_VARIANT_COLUMNS = ("folder", "target", "precision", "method", "block", "level", "model", "size")


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
    if isinstance(recipe, QuantizeRecipe):
        names = [candidate.precision for candidate in recipe.candidates]
        artifact = f"{recipe.prefer} of {', '.join(names)}" if len(names) > 1 else names[0]
    else:
        artifact = f"{recipe.target} {recipe.precision} of {recipe.repo}"
    return entry.name, entry.source.repo, artifact, entry.wrappers.onnx, entry.schedule or "-"


def plan(model: str, *, json: bool = False) -> int:
    """Show what a release would do; writes nothing.

    Args:
        model: Name of an entry in catalogue.toml; `slipway models` lists them.
        json: Print the result as JSON.
    """
    settings = Settings()
    entry = catalogue.find(settings.catalogue, model)
    revision = checkpoint.resolve(entry)
    store = Store(settings.home.resolve() / "store")
    exists = _exists(entry, revision, settings)
    found = plans.make(entry, revision, store, toolchain(), exists=exists)
    if json:
        console.show(found.model_dump(mode="json") | {"fits": found.fits})
    else:
        _show(found)
    return 0


def _exists(entry: Entry, revision: Revision, settings: Settings) -> bool:
    if not settings.has_registry:
        return False
    from slipway.registry import open_registry
    from slipway.registry.lookup import release_key

    key = release_key(entry, revision, settings)
    return open_registry(settings).released(entry.name, key) is not None


def _show(found: plans.Plan) -> None:
    size = console.megabytes
    candidates = [
        f"{variant}, {'in the store' if variant in found.variants_in_store else 'would be built'}"
        for variant in found.variants
    ]
    gates = [
        f"{precision}: {', '.join(f'{figure} {rule}' for figure, rule in rules.items())}"
        for precision, rules in found.gates.items()
    ]
    memory = "none" if found.memory_bytes is None else f"about {size(found.memory_bytes)}"
    console.facts(
        f"Plan for {found.model}" + (": already released, nothing to do" if found.exists else ""),
        {
            "source": f"{found.repo}@{found.commit[:8]}, license {found.license}",
            "download": size(found.download_bytes) if found.download_bytes else "in the store",
            "candidates": "\n".join(candidates),
            "disk": f"about {size(found.disk_bytes)}; {size(found.disk_free_bytes)} are free",
            "memory": f"{memory}; {size(found.memory_free_bytes)} are free",
            "registers": " and ".join(found.registers),
            "aliases": ", ".join(found.aliases) + ", if every gate passes",
            "gates": "\n".join(gates),
            "fits": "yes" if found.fits else "NO: see disk and memory above",
        },
    )


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
        recipe = SelectRecipe(repo=repo, ref=ref, target=target, precision=precision)
        selected = rules.choose(repo, found, recipe).name
    if json:
        listed = [variant.model_dump(mode="json") for variant in found]
        console.show({"repo": repo, "commit": commit, "variants": listed, "selected": selected})
    elif selected:
        print(f"\n{target} {precision} selects {selected}")
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
