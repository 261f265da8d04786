"""Weights → BuildResults: every candidate of a recipe is built, or the published one is taken."""

import shutil
import time
from functools import partial
from pathlib import Path

from slipway import keys
from slipway.build import onnx
from slipway.errors import MachineTooSmall, StepFailed
from slipway.sources import hub
from slipway.system.call import call
from slipway.system.workspace import Workspace
from slipway.validation import folders, names
from slipway.values import (
    Artifact,
    BuildResult,
    Calibration,
    Published,
    Quantization,
    Recipe,
    SelectRecipe,
    Weights,
)

_HEADROOM = 1.2


def build(
    weights: Weights,
    recipe: Recipe,
    workspace: Workspace,
    calibration: Calibration | None = None,
) -> tuple[BuildResult, ...]:
    """Return every candidate of ``recipe``, each built from ``weights`` unless the store has it.

    A candidate that this machine cannot build, or on which the builder crashed, timed out or was
    ended for memory, is returned with the reason.

    Args:
        weights: The checkpoint.
        recipe: What is built.
        workspace: Where.
        calibration: What is read by a recipe that is calibrated; others need none.

    Raises:
        ArchitectureUnsupported: If the builder cannot convert the weights at all.
    """
    total = len(recipe.candidates)
    if isinstance(recipe, SelectRecipe):
        revision = weights.revision
        published = zip(revision.published_variants, revision.published, strict=True)
        artifacts = (
            _select(weights, *each, workspace.part(index, total))
            for index, each in enumerate(published)
        )
        return tuple(
            BuildResult(variant=artifact.variant, precision=each.precision, artifact=artifact)
            for each, artifact in zip(recipe.candidates, artifacts, strict=True)
        )
    folders.require_supported(weights.architecture)
    return tuple(
        _result(weights, candidate, workspace.part(index, total), calibration)
        for index, candidate in enumerate(recipe.candidates)
    )


def _result(
    weights: Weights,
    candidate: Quantization,
    workspace: Workspace,
    calibration: Calibration | None,
) -> BuildResult:
    result = partial(BuildResult, variant=candidate.variant, precision=candidate.precision)
    try:
        return result(artifact=_build(weights, candidate, workspace, calibration))
    except (MachineTooSmall, StepFailed) as error:
        workspace.progress(None, f"{candidate.variant} could not be built: {error}")
        return result(artifact=None, reason=error.brief)


def _build(
    weights: Weights,
    candidate: Quantization,
    workspace: Workspace,
    calibration: Calibration | None,
) -> Artifact:
    choice = candidate.for_checkpoint(tied=weights.tied)
    cost: list[tuple[float, int]] = []
    checked: list[folders.ArtifactFacts] = []

    def fill(into: Path) -> None:
        workspace.require_memory("build", onnx.build_memory_bytes(choice, weights.parameters))
        request = onnx.BuildRequest(
            weights=weights.stored.folder,
            into=into,
            quantization=choice,
            calibration=calibration if choice.method == "gptq" else None,
        )
        outcome = call(
            onnx.build, request, workspace.limits, step="build", progress=workspace.progress
        )
        checked.append(folders.check_artifact(into))
        onnx.require_as_asked(checked[0].nodes, choice, str(into))
        cost.append((outcome.seconds, outcome.peak_memory_bytes))
        for path in weights.stored.folder.iterdir():
            if path.name.startswith(names.PREFIXES):
                shutil.copy(path, into)

    key = keys.artifact_key(
        weights.stored.key, weights.revision, choice, workspace.tools, calibration
    )
    stored = workspace.store.make(key, fill, size_bytes=weights.stored.size_bytes)
    facts = checked[0] if checked else folders.check_artifact(stored.folder)
    workspace.progress(1.0, f"{candidate.variant}, {stored.size_bytes / 1e6:.0f} MB")
    seconds, peak = cost[0] if cost else (0.0, None)
    return Artifact(
        variant=candidate.variant,
        origin=None,
        stored=stored,
        nodes=facts.nodes,
        build_seconds=seconds,
        peak_memory_bytes=peak,
    )


def _select(weights: Weights, variant: str, published: Published, workspace: Workspace) -> Artifact:
    started = time.monotonic()
    key = keys.artifact_key(weights.stored.key, weights.revision, published, workspace.tools)
    partial = workspace.store.partial(key)
    checked: list[folders.ArtifactFacts] = []

    def fill(into: Path) -> dict[str, str]:
        digests = hub.fetch_published(published, into, workspace.progress, partial=partial)
        checked.append(folders.check_artifact(into))
        return digests

    stored = workspace.store.make(key, fill, size_bytes=int(published.size_bytes * _HEADROOM))
    facts = checked[0] if checked else folders.check_artifact(stored.folder)
    workspace.progress(
        1.0, f"{len(stored.files)} files, {stored.size_bytes / 1e6:.0f} MB, verified"
    )
    return Artifact(
        variant=variant,
        origin=f"{published.repo}@{published.commit}",
        stored=stored,
        nodes=facts.nodes,
        build_seconds=time.monotonic() - started,
        peak_memory_bytes=None,
    )
