"""What a release would do, found out without writing anything."""

from collections.abc import Mapping

import psutil

from slipway import choose, keys, steps
from slipway.store import Store
from slipway.values import Entry, Gates, Quantization, QuantizeRecipe, Revision, Value


class Plan(Value):
    """What a release of one model would do.

    Attributes:
        model: Name of the entry.
        repo: Public name of the source.
        commit: What its ref names now.
        licence: What the source declares.
        exists: Whether this very release is already there, so that nothing would be done.
        download_bytes: What would be fetched; 0 if the store has it.
        variant: The artifact that would be made; the first candidate where none is chosen yet.
        artifact_in_store: Whether that artifact is already built.
        disk_bytes: About how much room the release would take, the copies in MLflow included.
        disk_free_bytes: How much there is.
        memory_bytes: About how much the build would hold; None where nothing is built.
        memory_free_bytes: How much there is.
        registers: The registered models that would get a version.
        aliases: The aliases that would move, if it passes.
        gates: The limits that it must keep.
    """

    model: str
    repo: str
    commit: str
    licence: str | None
    exists: bool
    download_bytes: int
    variant: str
    artifact_in_store: bool
    disk_bytes: int
    disk_free_bytes: int
    memory_bytes: int | None
    memory_free_bytes: int
    registers: tuple[str, str]
    aliases: tuple[str, ...]
    gates: Gates

    @property
    def fits(self) -> bool:
        """Tell whether disk and memory suffice."""
        memory = self.memory_bytes or 0
        return self.disk_bytes <= self.disk_free_bytes and memory <= self.memory_free_bytes


def make(
    entry: Entry, revision: Revision, store: Store, tools: Mapping[str, str], *, exists: bool
) -> Plan:
    """Return what releasing ``revision`` would do.

    Args:
        entry: The catalogue's entry.
        revision: What its source names now.
        store: Where verified folders lie.
        tools: Versions of the tools that shape the bytes.
        exists: Whether the registry has this release already.
    """
    weights_key = keys.weights_key(revision, tools)
    weights = store.find(weights_key)
    weights_bytes = weights.size_bytes if weights else steps.unpacked_bytes(revision)
    choice = entry.recipe.candidates[0] if isinstance(entry.recipe, QuantizeRecipe) else None
    artifact = store.find(keys.artifact_key(weights_key, revision, choice, tools))
    published = revision.published.size_bytes if revision.published else 0
    artifact_bytes = artifact.size_bytes if artifact else published or weights_bytes // 2
    fetched = 0 if weights else revision.size_bytes
    new_bytes = (0 if weights else weights_bytes) + (0 if artifact else artifact_bytes)
    free_folder = next(path for path in (store.root, *store.root.parents) if path.is_dir())
    return Plan(
        model=entry.name,
        repo=revision.source.repo,
        commit=revision.commit,
        licence=revision.licence,
        exists=exists,
        download_bytes=fetched + (0 if artifact else published),
        variant=_variant(choice, revision),
        artifact_in_store=artifact is not None,
        disk_bytes=0 if exists else new_bytes + weights_bytes + artifact_bytes,
        disk_free_bytes=psutil.disk_usage(str(free_folder)).free,
        memory_bytes=_memory_bytes(choice, weights_bytes),
        memory_free_bytes=psutil.virtual_memory().available,
        registers=(entry.name, f"{entry.name}-transformers"),
        aliases=("candidate",) if entry.aliases == "candidate" else ("candidate", "champion"),
        gates=entry.gates,
    )


def _variant(choice: Quantization | None, revision: Revision) -> str:
    if choice:
        return choice.variant
    return revision.published.folder if revision.published else ""


def _memory_bytes(choice: Quantization | None, weights_bytes: int) -> int | None:
    """Estimate from the checkpoint's bytes, taking every number for four bytes."""
    return choose.build_memory_bytes(choice, weights_bytes // 4) if choice else None
