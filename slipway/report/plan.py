"""Tells what a release would do, without writing anything."""

from collections.abc import Iterator, Mapping

import psutil

from slipway import keys
from slipway.build import onnx
from slipway.evaluation import gates
from slipway.sources import checkpoint
from slipway.system.store import Store
from slipway.values import Entry, QuantizeRecipe, Recipe, Revision, Value


class Plan(Value):
    """What a release of one model would do.

    Attributes:
        model: Name of the entry.
        repo: Public name of the source.
        commit: The commit that the source's ref names now.
        license: The license that the source declares.
        exists: Whether the registry has this release, so that nothing would be done.
        download_bytes: Bytes to download; 0 if the store has them.
        variants: The candidates.
        variants_in_store: The candidates that are already built.
        disk_bytes: Estimate of the disk space that is needed, with the copies in MLflow.
        disk_free_bytes: Disk space that is free.
        memory_bytes: Estimate of the largest build's memory; None where nothing is built.
        memory_free_bytes: Memory that is free.
        registers: The registered models that would get a version.
        aliases: The aliases that would be set, if every gate passes.
        gates: By precision, the limits of each figure in words.
    """

    model: str
    repo: str
    commit: str
    license: str | None
    exists: bool
    download_bytes: int
    variants: tuple[str, ...]
    variants_in_store: tuple[str, ...]
    disk_bytes: int
    disk_free_bytes: int
    memory_bytes: int | None
    memory_free_bytes: int
    registers: tuple[str, str]
    aliases: tuple[str, ...]
    gates: dict[str, dict[str, str]]

    @property
    def fits(self) -> bool:
        """Whether disk and memory suffice."""
        memory = self.memory_bytes or 0
        return self.disk_bytes <= self.disk_free_bytes and memory <= self.memory_free_bytes


def make(
    entry: Entry, revision: Revision, store: Store, tools: Mapping[str, str], *, exists: bool
) -> Plan:
    """Return what releasing ``revision`` would do.

    Args:
        entry: The catalogue's entry.
        revision: The revision that its source names now.
        store: The store of verified folders.
        tools: Versions of the tools that shape the bytes.
        exists: Whether the registry has this release already.
    """
    weights_key = keys.weights_key(revision, tools)
    weights = store.find(weights_key)
    weights_bytes = weights.size_bytes if weights else checkpoint.unpacked_bytes(revision)
    sizes = {
        variant: found.size_bytes if (found := store.find(key)) else None
        for variant, key in _artifacts(entry, revision, weights_key, tools)
    }
    published = revision.published.size_bytes if revision.published else 0
    missing = [variant for variant, size in sizes.items() if size is None]
    artifacts_bytes = [size or published or weights_bytes // 2 for size in sizes.values()]
    new_bytes = (0 if weights else weights_bytes) + len(missing) * max(artifacts_bytes)
    free_folder = next(path for path in (store.root, *store.root.parents) if path.is_dir())
    return Plan(
        model=entry.name,
        repo=revision.source.repo,
        commit=revision.commit,
        license=revision.license,
        exists=exists,
        download_bytes=(0 if weights else revision.size_bytes) + (published if missing else 0),
        variants=tuple(sizes),
        variants_in_store=tuple(variant for variant, size in sizes.items() if size),
        disk_bytes=0 if exists else new_bytes + weights_bytes + max(artifacts_bytes),
        disk_free_bytes=psutil.disk_usage(str(free_folder)).free,
        memory_bytes=_memory_bytes(entry.recipe, weights_bytes),
        memory_free_bytes=psutil.virtual_memory().available,
        registers=(entry.name, f"{entry.name}-transformers"),
        aliases=("candidate",) if entry.aliases == "candidate" else ("candidate", "champion"),
        gates=dict(_gates(entry)),
    )


def _artifacts(
    entry: Entry, revision: Revision, weights_key: str, tools: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the name and the store's key of every candidate."""
    if isinstance(entry.recipe, QuantizeRecipe):
        for candidate in entry.recipe.candidates:
            yield candidate.variant, keys.artifact_key(weights_key, revision, candidate, tools)
    elif revision.published:
        yield revision.published.folder, keys.artifact_key(weights_key, revision, None, tools)


def _gates(entry: Entry) -> Iterator[tuple[str, dict[str, str]]]:
    recipe = entry.recipe
    several = recipe.candidates if isinstance(recipe, QuantizeRecipe) else (recipe,)
    for precision in dict.fromkeys(each.precision for each in several):
        yield precision, gates.rules_in_words(gates.limits_for(entry.gates, precision))


def _memory_bytes(recipe: Recipe, weights_bytes: int) -> int | None:
    """Estimate the memory from the size of the checkpoint, at four bytes a parameter."""
    if not isinstance(recipe, QuantizeRecipe):
        return None
    parameters = weights_bytes // 4
    return max(onnx.build_memory_bytes(candidate, parameters) for candidate in recipe.candidates)
