"""``slipway models`` and ``slipway plan``: what there is, and what a release would do."""

from commands import console
from slipway import catalogue
from slipway.report import plan
from slipway.settings import Settings, toolchain
from slipway.sources import checkpoint
from slipway.system.store import Store
from slipway.values import Entry, QuantizeRecipe, Revision


def models(*, json: bool = False) -> int:
    """List the models of the catalogue.

    Args:
        json: Print them as JSON.
    """
    entries = catalogue.load(Settings().catalogue)
    if json:
        console.show([entry.model_dump(mode="json") for entry in entries.values()])
        return 0
    rows = [
        (entry.name, entry.source.repo, _recipe(entry), entry.wrappers.onnx, entry.schedule or "-")
        for entry in entries.values()
    ]
    console.table("Models", ("name", "source", "artifact", "contract", "schedule (UTC)"), rows)
    return 0


def plan_command(model: str, *, json: bool = False) -> int:
    """Say what releasing a model would do; writes nothing.

    Args:
        model: Name of an entry in catalogue.toml; `slipway models` lists them.
        json: Print it as JSON.
    """
    settings = Settings()
    entry = catalogue.find(settings.catalogue, model)
    revision = checkpoint.resolve(entry)
    store = Store(settings.home.resolve() / "store")
    found = plan.make(
        entry, revision, store, toolchain(), exists=_exists(entry, revision, settings)
    )
    if json:
        console.show(found.model_dump(mode="json") | {"fits": found.fits})
    else:
        _show(found)
    return 0


def _exists(entry: Entry, revision: Revision, settings: Settings) -> bool:
    if not settings.has_registry:
        return False
    from tasks.context import registry
    from tasks.entries import key_of

    return registry().released(entry.name, key_of(entry, revision)) is not None


def _show(found: plan.Plan) -> None:
    size = console.megabytes
    made = [
        f"{variant}, {'in the store' if variant in found.variants_in_store else 'would be made'}"
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
            "candidates": "\n".join(made),
            "disk": f"about {size(found.disk_bytes)} of {size(found.disk_free_bytes)} free",
            "memory": f"{memory} of {size(found.memory_free_bytes)} free",
            "registers": " and ".join(found.registers),
            "moves": ", ".join(found.aliases) + ", if every gate holds",
            "gates": "\n".join(gates),
            "fits": "yes" if found.fits else "NO: see disk and memory above",
        },
    )


def _recipe(entry: Entry) -> str:
    if isinstance(entry.recipe, QuantizeRecipe):
        names = [choice.precision for choice in entry.recipe.candidates]
        return f"{entry.recipe.prefer} of {', '.join(names)}" if len(names) > 1 else names[0]
    return f"{entry.recipe.target} {entry.recipe.precision} of {entry.recipe.repo}"
