"""Tells what a release would do, without writing anything."""

from collections.abc import Iterator, Mapping

import psutil

from slipway import keys
from slipway.build import onnx
from slipway.checks import regressions
from slipway.evaluation import gates, targets, units
from slipway.sources import checkpoint
from slipway.system import memory
from slipway.system.store import Store
from slipway.values import (
    Calibration,
    Entry,
    Prompt,
    Recipe,
    Revision,
    SearchRecipe,
    SelectRecipe,
    SuitePower,
    TaskLimits,
    Value,
    registered_names,
)


class Plan(Value):
    """What a release of one model would do.

    Attributes:
        provenance: As in ``Revision``.
        exists: Whether the registry has this release, so that nothing would be done.
        download_bytes: 0 if the store has the files.
        variants: The candidates; of a search, the two between which is searched.
        variants_in_store: The candidates that are already built.
        max_builds: Most artifacts that a search builds; None where the candidates are listed.
        workers: Prefect workers that have the device which this machine has not, if any is online.
        unmeasured: Why candidates are released without measurements, by target.
        disk_bytes: Estimate of the disk space that is needed, with the copies in MLflow and those
            that are tested.
        memory_bytes: Estimate of the largest build's memory; None where nothing is built.
        registers: The registered models that would get a version.
        aliases: Set if every gate passes.
        needs_approval: Whether ``champion`` is set as well once a person approves it.
        tasks: What may be lost in each task, in words.
        gates: By precision, the limits of each figure in words.
        power: How surely a lost prompt is found; None if no loss is looked for.
    """

    model: str
    repo: str
    commit: str
    provenance: str
    license: str | None
    exists: bool
    download_bytes: int
    variants: tuple[str, ...]
    variants_in_store: tuple[str, ...]
    max_builds: int | None
    workers: tuple[str, ...]
    unmeasured: dict[str, str]
    disk_bytes: int
    disk_free_bytes: int
    memory_bytes: int | None
    memory_free_bytes: int
    registers: tuple[str, str]
    aliases: tuple[str, ...]
    needs_approval: bool
    gates: dict[str, dict[str, str]]
    tasks: dict[str, str]
    power: SuitePower | None

    @property
    def fits(self) -> bool:
        """Whether disk and memory suffice here; what another machine has is not known."""
        needed = self.memory_bytes or 0
        here = self.disk_bytes <= self.disk_free_bytes and needed <= self.memory_free_bytes
        return here or bool(self.workers)


def make(  # noqa: PLR0913 - a plan is made of all of them
    entry: Entry,
    revision: Revision,
    store: Store,
    tools: Mapping[str, str],
    *,
    prompts: tuple[Prompt, ...],
    exists: bool,
    calibration: Calibration | None = None,
    workers: tuple[str, ...] = (),
) -> Plan:
    """Return what releasing ``revision``, which the entry's source names now, would do.

    Args:
        entry: The catalogue's entry.
        revision: What its source names.
        store: The weights and artifacts that are here.
        tools: Versions of the tools that shape the bytes.
        prompts: Those of the entry's suite.
        exists: Whether the registry has this release.
        calibration: What candidates are calibrated on, if any is.
        workers: As in ``Plan``.
    """
    weights_key = keys.weights_key(revision, tools)
    weights = store.find(weights_key)
    weights_bytes = weights.size_bytes if weights else checkpoint.unpacked_bytes(revision)
    sizes = {
        variant: next((found.size_bytes for key in several if (found := store.find(key))), None)
        for variant, several in _artifacts(entry, revision, weights_key, tools, calibration)
    }
    published = {each.folder or ".": each.size_bytes for each in revision.published}
    expected = {
        variant: size or published.get(variant, weights_bytes // 2)
        for variant, size in sizes.items()
    }
    missing = [variant for variant, size in sizes.items() if size is None]
    new_bytes = (0 if weights else weights_bytes) + sum(expected[variant] for variant in missing)
    max_builds = entry.recipe.max_builds if isinstance(entry.recipe, SearchRecipe) else None
    if max_builds:
        new_bytes += (max_builds - len(sizes)) * max(expected.values())
    free_folder = next(path for path in (store.root, *store.root.parents) if path.is_dir())
    return Plan(
        model=entry.name,
        repo=revision.source.repo,
        commit=revision.commit,
        provenance=revision.provenance,
        license=revision.license,
        exists=exists,
        download_bytes=(0 if weights else revision.size_bytes)
        + sum(published.get(variant, 0) for variant in missing),
        variants=tuple(sizes),
        variants_in_store=tuple(variant for variant, size in sizes.items() if size),
        max_builds=max_builds,
        workers=workers,
        unmeasured={} if workers else targets.unmeasured(entry),
        disk_bytes=0 if exists else new_bytes + 2 * (weights_bytes + max(expected.values())),
        disk_free_bytes=psutil.disk_usage(str(free_folder)).free,
        memory_bytes=_memory_bytes(entry.recipe, weights_bytes),
        memory_free_bytes=memory.free_bytes(),
        registers=tuple(registered_names(entry.name)),
        aliases=("candidate", "champion") if entry.target == "champion" else ("candidate",),
        needs_approval=entry.target == "approval",
        gates=dict(_gates(entry)),
        tasks={task: _task_in_words(limits) for task, limits in entry.tasks.items()},
        power=regressions.power(prompts, gates.margin(entry.gates)),
    )


def _artifacts(
    entry: Entry,
    revision: Revision,
    weights_key: str,
    tools: Mapping[str, str],
    calibration: Calibration | None,
) -> Iterator[tuple[str, set[str]]]:
    """Yield the name of every candidate, and its key in the store.

    A candidate has two keys where its embeddings are left to the checkpoint, which may not be here.
    """
    if not isinstance(entry.recipe, SelectRecipe):
        for candidate in entry.recipe.candidates:
            choices = {candidate.for_checkpoint(tied=tied) for tied in (True, False)}
            yield (
                candidate.variant,
                {
                    keys.artifact_key(weights_key, revision, each, tools, calibration)
                    for each in choices
                },
            )
    for published in revision.published:
        yield (
            published.folder or ".",
            {keys.artifact_key(weights_key, revision, published, tools)},
        )


def _gates(entry: Entry) -> Iterator[tuple[str, dict[str, str]]]:
    for precision in dict.fromkeys(each.precision for each in entry.recipe.candidates):
        yield precision, gates.rules_in_words(gates.limits_for(entry.gates, precision))


def _task_in_words(limits: TaskLimits) -> str:
    """Return what may be lost in a task, as ``a loss of at most 0.05 of acc``."""
    metrics = f" of {', '.join(limits.metrics)}" if limits.metrics else ""
    items = f", {limits.limit} items" if limits.limit else ""
    return f"a loss of at most {units.number(limits.margin)}{metrics}{items}"


def _memory_bytes(recipe: Recipe, weights_bytes: int) -> int | None:
    """Estimate the memory from the size of the checkpoint, at four bytes a parameter."""
    if isinstance(recipe, SelectRecipe):
        return None
    parameters = weights_bytes // 4
    return max(onnx.build_memory_bytes(candidate, parameters) for candidate in recipe.candidates)
