"""Checkpoints and artifacts as the values that measurements take, without the steps before them."""

from pathlib import Path

from slipway.evaluation.speed import Timing
from slipway.system.call import CallResult
from slipway.system.process import ProcessLimits
from slipway.system.store import Store, manifest
from slipway.system.workspace import Workspace
from slipway.values import Artifact, FolderSource, Revision, Stored, Weights


def stored(folder: Path) -> Stored:
    """Return a folder as if it were an entry of the store."""
    return Stored(key=folder.name, folder=folder, files=manifest(folder))


def weights_of(checkpoint: Path) -> Weights:
    """Return a checkpoint as if it had been downloaded."""
    files = stored(checkpoint)
    revision = Revision(
        source=FolderSource(path=checkpoint, repo="slipway/tiny-phi3"),
        commit="0" * 40,
        digest="0" * 64,
        files_digest="0" * 64,
        paths=tuple(file.path for file in files.files),
        size_bytes=files.size_bytes,
        license="mit",
    )
    return Weights(
        revision=revision, stored=files, architecture="Phi3ForCausalLM", parameters=100_000
    )


def artifact_of(folder: Path, variant: str = "cpu-fp32") -> Artifact:
    """Return a folder that the builder wrote as if it had been prepared."""
    return Artifact(
        variant=variant,
        origin=None,
        stored=stored(folder),
        nodes={},
        build_seconds=1,
        peak_memory_bytes=None,
    )


def timed(
    seconds: float = 1, peak_bytes: int = 1, decode_joules: float | str = "not measured"
) -> CallResult[Timing]:
    """Return one round of a measurement of speed; decoding takes four times ``seconds``."""
    timing = Timing(
        load_seconds=seconds,
        prefill_seconds=seconds,
        first_seconds=2 * seconds,
        decode_seconds=4 * seconds,
        prompt_tokens=128,
        new_tokens=33,
        decode_joules=decode_joules,
    )
    return CallResult(timing, seconds, peak_bytes)


def workspace_of(limits: ProcessLimits) -> Workspace:
    """Return a workspace with a store beside the logs."""
    tools = {"torch": "2.13.0", "transformers": "5.22.0", "onnxruntime-genai": "0.18.0"}
    return Workspace(store=Store(limits.logs.parent / "store"), limits=limits, tools=tools)
