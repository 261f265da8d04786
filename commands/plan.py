"""``slipway plan``: what a release would do; nothing is started."""

from commands import console
from slipway import catalogue
from slipway.checks import prompt_files, suites
from slipway.errors import NoWorker
from slipway.evaluation import paired, targets, task_evaluation
from slipway.evaluation.texts import load_calibration
from slipway.libraries import toolchain
from slipway.report import plan as plans
from slipway.settings import Settings
from slipway.sources import checkpoint
from slipway.system.network import is_taken
from slipway.system.store import Store
from slipway.values import Entry, Revision, SuitePower, pinned


def plan(model: str, *, json: bool = False) -> int:
    """Show what a release would do; writes nothing. The exit code is 1 if it does not fit.

    Args:
        model: Name of an entry in catalogue.toml; `slipway models` lists them.
        json: Print the result as JSON.
    """
    settings = Settings()
    entry = catalogue.find(settings.catalogue, model)
    suites.require_checkable(entry, settings.expectations)
    workers = _workers(entry, settings)  # raises before the Hub is asked, as the next does
    task_evaluation.require(entry, settings.expectations)
    calibration = load_calibration(entry.recipe, settings.expectations)
    revision = checkpoint.resolve(entry)
    found = plans.make(
        entry,
        revision,
        Store(settings.home.resolve() / "store"),
        toolchain(),
        prompts=prompt_files.prompts_of(entry, settings.expectations),
        exists=_exists(entry, revision, settings),
        calibration=calibration,
        workers=workers,
    )
    if json:
        console.show(found.model_dump(mode="json") | {"fits": found.fits})
    else:
        _show(found)
    return 0 if found.fits else 1


def _workers(entry: Entry, settings: Settings) -> tuple[str, ...]:
    """Return the Prefect workers that have the device which this machine has not.

    Raises:
        NoWorker: If there are none, and the entry does not accept that.
    """
    missing = targets.unmeasured(entry)
    if not missing:
        return ()
    from deployments.apply import signed_in
    from tasks.pools import workers_online

    servers, pool = settings.in_use, targets.device(entry)
    workers: tuple[str, ...] = ()
    if is_taken(servers.prefect_url):
        with signed_in(servers):
            workers = workers_online(pool)
    if not workers and entry.unmeasured == "refuse":
        raise NoWorker(entry.name, pool, next(iter(missing.values())))
    return workers


def _exists(entry: Entry, revision: Revision, settings: Settings) -> bool:
    if not settings.has_registry:
        return False
    from slipway.registry import open_registry
    from slipway.registry.lookup import release_key

    key = release_key(entry, revision, settings)
    return open_registry(settings).released(entry.name, key) is not None


def _aliases(found: plans.Plan) -> str:
    """Return which aliases a release would set, and when."""
    if found.needs_approval:
        return "candidate, if every gate passes; champion, if a person approves it then"
    return f"{', '.join(found.aliases)}, if every gate passes"


def _show(found: plans.Plan) -> None:
    size = console.megabytes
    new = "would be downloaded" if found.memory_bytes is None else "would be built"
    candidates = [
        f"{variant}, {'in the store' if variant in found.variants_in_store else new}"
        for variant in found.variants
    ]
    if found.max_builds:
        ends = " and ".join(found.variants)
        candidates = [f"a search between {ends}, at most {found.max_builds} builds"]
    gates = [
        f"{precision}: {', '.join(f'{figure} {rule}' for figure, rule in rules.items())}"
        for precision, rules in found.gates.items()
    ]
    memory = "none" if found.memory_bytes is None else f"about {size(found.memory_bytes)}"
    unmeasured = {"not measured": "\n".join(found.unmeasured.values())} if found.unmeasured else {}
    elsewhere = {"runs on": f"Prefect worker {' or '.join(found.workers)}"} if found.workers else {}
    limits = [f"{task}: {words}" for task, words in found.tasks.items()]
    tasks = {"tasks": "\n".join(limits)} if limits else {}
    source = (pinned(found.repo, found.commit), found.provenance, f"license {found.license}")
    console.facts(
        f"Plan for {found.model}" + (": already released, nothing to do" if found.exists else ""),
        {
            "source": ", ".join(filter(None, source)),
            "download": size(found.download_bytes) if found.download_bytes else "in the store",
            "candidates": "\n".join(candidates),
            **elsewhere,
            **unmeasured,
            "disk": f"about {size(found.disk_bytes)}; {size(found.disk_free_bytes)} are free",
            "memory": f"{memory}; {size(found.memory_free_bytes)} are free",
            "registers": " and ".join(found.registers),
            "aliases": _aliases(found),
            "gates": "\n".join(gates),
            **tasks,
            "suite": _power(found.power),
            "fits": _fits(found),
        },
    )


def _fits(found: plans.Plan) -> str:
    if found.workers:
        return "not known: disk and memory above are those of this machine"
    return "yes" if found.fits else "NO: see disk and memory above"


def _power(known: SuitePower | None) -> str:
    if known is None:
        return "the gate lost_prompts has no limit, so no lost prompt is found"
    return ("" if known.suffices else "WARNING: ") + paired.in_words(known)
