"""Weights → BuildResults: every candidate of a recipe is built, or the published one is taken."""

import shutil
import time
from functools import partial
from pathlib import Path

import psutil

from slipway import keys
from slipway.build import onnx
from slipway.errors import MachineTooSmall, StepFailed
from slipway.sources import hub
from slipway.system.call import call
from slipway.system.workspace import Workspace
from slipway.validation import folders, names
from slipway.values import Artifact, BuildResult, Quantization, Recipe, SelectRecipe, Weights

_HEADROOM = 1.2


def build(weights: Weights, recipe: Recipe, workspace: Workspace) -> tuple[BuildResult, ...]:
    """Return every candidate of ``recipe``, each built from ``weights`` unless the store has it.

    A candidate that this machine cannot build, or on which the builder crashed, timed out or was
    ended for memory, is returned with the reason.

    Raises:
        ArchitectureUnsupported: If the builder cannot convert the weights at all.
        Unreachable: If a published artifact cannot be downloaded.
    """
    if isinstance(recipe, SelectRecipe):
        artifact = _select(weights, workspace)
        precision = recipe.precision
        return (BuildResult(variant=artifact.variant, precision=precision, artifact=artifact),)
    folders.require_supported(weights.architecture)
    total = len(recipe.candidates)
    return tuple(
        _result(weights, candidate, workspace.part(index, total))
        for index, candidate in enumerate(recipe.candidates)
    )


def _result(weights: Weights, candidate: Quantization, workspace: Workspace) -> BuildResult:
    result = partial(BuildResult, variant=candidate.variant, precision=candidate.precision)
    try:
        _require_memory(candidate, weights, workspace)
        return result(artifact=_build(weights, candidate, workspace))
    except (MachineTooSmall, StepFailed) as error:
        workspace.progress(None, f"{candidate.variant} could not be built: {error}")
        return result(artifact=None, reason=error.brief)


def _require_memory(candidate: Quantization, weights: Weights, workspace: Workspace) -> None:
    needed_bytes = onnx.build_memory_bytes(candidate, weights.parameters)
    free_bytes = workspace.limits.memory_bytes or psutil.virtual_memory().available
    if needed_bytes > free_bytes:
        raise MachineTooSmall("build", "memory", needed_bytes, free_bytes)


def _build(weights: Weights, choice: Quantization, workspace: Workspace) -> Artifact:
    cost: list[tuple[float, int]] = []

    def fill(into: Path) -> None:
        request = onnx.BuildRequest(weights=weights.stored.folder, into=into, quantization=choice)
        outcome = call(
            onnx.build, request, workspace.limits, step="build", progress=workspace.progress
        )
        folders.inspect_artifact(into)
        onnx.require_as_asked(into, choice)
        cost.append((outcome.seconds, outcome.peak_memory_bytes))
        for path in weights.stored.folder.iterdir():
            if path.name.startswith(names.PREFIXES):
                shutil.copy(path, into)

    key = keys.artifact_key(weights.stored.key, weights.revision, choice, workspace.tools)
    stored = workspace.store.make(key, fill, size_bytes=weights.stored.size_bytes)
    workspace.progress(1.0, f"{choice.variant}, {stored.size_bytes / 1e6:.0f} MB")
    seconds, peak = cost[0] if cost else (0.0, None)
    return Artifact(
        variant=choice.variant,
        origin=None,
        stored=stored,
        nodes=onnx.nodes(stored.folder),
        build_seconds=seconds,
        peak_memory_bytes=peak,
    )


def _select(weights: Weights, workspace: Workspace) -> Artifact:
    published = weights.revision.published
    assert published is not None  # noqa: S101 - resolve pins one for every select recipe
    started = time.monotonic()
    key = keys.artifact_key(weights.stored.key, weights.revision, None, workspace.tools)
    partial = workspace.store.partial(key)

    def fill(into: Path) -> dict[str, str]:
        digests = hub.fetch_published(published, into, workspace.progress, partial=partial)
        folders.inspect_artifact(into)
        return digests

    stored = workspace.store.make(key, fill, size_bytes=int(published.size_bytes * _HEADROOM))
    workspace.progress(
        1.0, f"{len(stored.files)} files, {stored.size_bytes / 1e6:.0f} MB, verified"
    )
    return Artifact(
        variant=published.folder.rpartition("/")[2] or "published",
        origin=f"{published.repo}@{published.commit}",
        stored=stored,
        nodes=onnx.nodes(stored.folder),
        build_seconds=time.monotonic() - started,
        peak_memory_bytes=None,
    )
