"""The first three steps of the line, from a catalogue entry to an artifact in the store."""

import re
import shutil
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import psutil

from slipway import child, choose, folder, hub, intake, keys, onnx, package
from slipway.errors import LicenceNotAllowed, MachineTooSmall, StepFailed
from slipway.progress import Progress, silent
from slipway.store import Store
from slipway.values import (
    Artifact,
    Attempt,
    Entry,
    FolderSource,
    HubSource,
    PackageSource,
    Quantization,
    Recipe,
    Revision,
    SelectRecipe,
    Weights,
)

#: Bytes of a checkpoint in float32, as a multiple of the GGUF file that it is unpacked from.
_UNPACKED = 7
_HEADROOM = 1.2


@dataclass(frozen=True)
class Workshop:
    """Where and with what the steps work.

    Attributes:
        store: Takes the verified folders.
        limits: What a child process may use.
        tools: Versions of the tools that shape the bytes.
        progress: Listens.
    """

    store: Store
    limits: child.Limits
    tools: dict[str, str]
    progress: Progress = silent

    def part(self, index: int, total: int) -> Self:
        """Return the same workshop for one of several like pieces of work.

        Args:
            index: Which piece, from 0.
            total: How many there are.
        """

        def tell(share: float | None, text: str) -> None:
            self.progress(None if share is None else (index + share) / total, text)

        return replace(self, progress=tell)


def resolve(entry: Entry) -> Revision:
    """Return the revision that the entry's source names now, with a licence that is allowed.

    Raises:
        LicenceNotAllowed: If the entry does not list the source's licence.
        SourceMissing: If the source is not there.
        Unreachable: If the Hub does not answer.
    """
    revision = _resolve(entry)
    if revision.licence not in entry.licences:
        raise LicenceNotAllowed(entry.name, revision.licence, entry.licences)
    if isinstance(entry.recipe, SelectRecipe):
        return hub.resolve_published(revision, entry.recipe)
    return revision


def download(revision: Revision, workshop: Workshop) -> Weights:
    """Return the checkpoint of ``revision``, fetched unless the store has it.

    Raises:
        SourceRefused: If a file breaks a rule.
        MachineTooSmall: If the disk has no room for it.
    """
    key = keys.weights_key(revision, workshop.tools)
    partial = workshop.store.partial(key)

    def fill(into: Path) -> dict[str, str]:
        digests: dict[str, str] = {}
        match revision.source:
            case PackageSource():
                package.fetch(revision.source, into, workshop.limits, workshop.progress)
            case FolderSource():
                folder.fetch(revision.source, revision, into)
            case HubSource():
                source, listen = revision.source, workshop.progress
                digests = hub.fetch(source, revision, into, listen, partial=partial)
        workshop.progress(0.95, "checking every file")
        intake.inspect(into)
        return digests

    stored = workshop.store.make(key, fill, size_bytes=unpacked_bytes(revision))
    facts = intake.inspect(stored.folder)
    workshop.progress(1.0, f"{len(stored.files)} files, {stored.size_bytes / 1e6:.0f} MB, verified")
    return Weights(
        revision=revision,
        stored=stored,
        architecture=facts.architecture,
        parameters=facts.parameters,
        chat_template_digest=facts.chat_template_digest,
    )


def prepare(weights: Weights, recipe: Recipe, workshop: Workshop) -> tuple[Attempt, ...]:
    """Return every candidate of ``recipe``, each built of ``weights`` unless the store has it.

    A candidate that this machine cannot build, or on which the builder crashed, hung or was ended
    for memory, is returned with the reason.

    Raises:
        ArchitectureUnsupported: If the builder cannot convert the weights at all.
        Unreachable: If a published artifact cannot be fetched.
    """
    if isinstance(recipe, SelectRecipe):
        artifact = _select(weights, workshop)
        precision = recipe.precision
        return (Attempt(variant=artifact.variant, precision=precision, artifact=artifact),)
    intake.require_supported(weights.architecture)
    total = len(recipe.candidates)
    return tuple(
        _attempt(weights, candidate, workshop.part(index, total))
        for index, candidate in enumerate(recipe.candidates)
    )


def brief(reason: str) -> str:
    """Return what went wrong without the path of this machine's log: reports are for everybody."""
    return re.sub(r"; all that it said is in \S+$", "", reason)


def unpacked_bytes(revision: Revision) -> int:
    """Return the disk space that the checkpoint of ``revision`` needs."""
    factor = _UNPACKED if isinstance(revision.source, PackageSource) else _HEADROOM
    return int(revision.size_bytes * factor)


def _resolve(entry: Entry) -> Revision:
    match entry.source:
        case PackageSource():
            return package.resolve(entry.source)
        case FolderSource():
            return folder.resolve(entry.source)
        case HubSource():
            return hub.resolve(entry.source)


def _attempt(weights: Weights, candidate: Quantization, workshop: Workshop) -> Attempt:
    say = partial(Attempt, variant=candidate.variant, precision=candidate.precision)
    try:
        _require_memory(candidate, weights, workshop)
        return say(artifact=_build(weights, candidate, workshop))
    except (MachineTooSmall, StepFailed) as error:
        workshop.progress(None, f"{candidate.variant} could not be built: {error}")
        return say(artifact=None, reason=brief(str(error)))


def _require_memory(candidate: Quantization, weights: Weights, workshop: Workshop) -> None:
    needed_bytes = choose.build_memory_bytes(candidate, weights.parameters)
    free_bytes = workshop.limits.memory_bytes or psutil.virtual_memory().available
    if needed_bytes > free_bytes:
        raise MachineTooSmall("prepare", "memory", needed_bytes, free_bytes)


def _build(weights: Weights, choice: Quantization, workshop: Workshop) -> Artifact:
    cost: list[tuple[float, int]] = []

    def fill(into: Path) -> None:
        request = onnx.Request(weights=weights.stored.folder, into=into, quantization=choice)
        listen = onnx.reader(workshop.progress, onnx.layers(weights.stored.folder))
        outcome = child.call(onnx.build, request, workshop.limits, step="prepare", on_line=listen)
        intake.inspect_artifact(into)
        onnx.require_as_asked(into, choice)
        cost.append((outcome.seconds, outcome.peak_memory_bytes))
        for path in weights.stored.folder.iterdir():
            if path.name.startswith(intake.PREFIXES):
                shutil.copy(path, into)

    key = keys.artifact_key(weights.stored.key, weights.revision, choice, workshop.tools)
    stored = workshop.store.make(key, fill, size_bytes=weights.stored.size_bytes)
    workshop.progress(1.0, f"{choice.variant}, {stored.size_bytes / 1e6:.0f} MB")
    seconds, peak = cost[0] if cost else (0.0, None)
    return Artifact(
        variant=choice.variant,
        origin=None,
        stored=stored,
        nodes=onnx.nodes(stored.folder),
        build_seconds=seconds,
        peak_memory_bytes=peak,
    )


def _select(weights: Weights, workshop: Workshop) -> Artifact:
    published = weights.revision.published
    assert published is not None  # noqa: S101 - resolve pins one for every select recipe
    started = time.monotonic()
    key = keys.artifact_key(weights.stored.key, weights.revision, None, workshop.tools)
    partial = workshop.store.partial(key)

    def fill(into: Path) -> dict[str, str]:
        digests = hub.fetch_published(published, into, workshop.progress, partial=partial)
        intake.inspect_artifact(into)
        return digests

    stored = workshop.store.make(key, fill, size_bytes=int(published.size_bytes * _HEADROOM))
    workshop.progress(1.0, f"{len(stored.files)} files, {stored.size_bytes / 1e6:.0f} MB, verified")
    return Artifact(
        variant=published.folder.rpartition("/")[2] or "published",
        origin=f"{published.repo}@{published.commit}",
        stored=stored,
        nodes=onnx.nodes(stored.folder),
        build_seconds=time.monotonic() - started,
        peak_memory_bytes=None,
    )
