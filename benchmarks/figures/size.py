"""Size and fidelity of int8 artifacts, against Q8_0 of llama.cpp.

The fidelity of Q8_0 is that of the source with its weights rounded as Q8_0 rounds them, run in
float32. llama.cpp rounds the activations too, so its own fidelity is not better.
"""

import sys
from pathlib import Path

import numpy as np

from benchmarks import q8_0
from benchmarks.figure import Figure, Measured, Sample, at_most
from benchmarks.models import Home, released_home
from slipway.build import artifacts
from slipway.evaluation import candidate, logits, statistics
from slipway.libraries import toolchain
from slipway.sources import checkpoint
from slipway.system.process import ProcessLimits
from slipway.system.store import Store
from slipway.system.workspace import Workspace
from slipway.values import Quantization, QuantizeRecipe

#: One scale for 64 weights is in the catalogue; one for 32 is what Q8_0 has.
CANDIDATES = (
    Quantization(precision="int8", block_size=64),
    Quantization(precision="int8", block_size=32),
)


def measure(work: Path, quick: bool) -> Figure:
    """Build each artifact, and compare it and Q8_0 with the source."""
    home = released_home(work, quick)
    (weights,), (reading,) = home.stored("weights"), home.stored("reading")
    peer_mb, peer_kl = _q8_0(weights, reading)
    lines: list[Measured] = []
    for choice in CANDIDATES:
        folder = _built(home, choice, work / f"size-{home.model}")
        request = candidate.CandidateRequest(artifact=folder, reading=reading)
        found = candidate.compare(request).kl_mean
        name = f"int8, one scale for {choice.block_size}"
        lines.append(
            Measured(
                name=f"size of {name}",
                unit="MB",
                value=Sample.of(_megabytes(folder)),
                floor=Sample.of(peer_mb),
                floor_name="Q8_0 of llama.cpp, without a tokenizer",
                bars=(at_most(1.1),),
            )
        )
        if found is not None:
            lines.append(
                Measured(
                    name=f"mean KL divergence of {name}",
                    unit="nats per token",
                    value=Sample.of(found.value),
                    floor=Sample.of(peer_kl),
                    floor_name="weights of Q8_0 in float32",
                )
            )
    return Figure(name="size", measured=tuple(lines))


def _built(home: Home, choice: Quantization, folder: Path) -> Path:
    """Return an artifact, built in a store of its own unless it is there."""
    limits = ProcessLimits(timeout_seconds=1800, memory_bytes=None, logs=folder / "logs")
    workspace = Workspace(Store(folder / "store"), limits, toolchain())
    weights = checkpoint.download(checkpoint.resolve(home.entry), workspace)
    (built,) = artifacts.build(weights, QuantizeRecipe(candidates=(choice,)), workspace)
    if built.artifact is None:
        sys.exit(built.reason)
    return built.artifact.stored.folder


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _q8_0(weights: Path, reading: Path) -> tuple[float, float]:
    """Return the size of Q8_0 in MB, and its mean KL divergence from the source."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32)
    parameters, size_bytes = dict(model.named_parameters()), 0
    tensors = ((name, each.detach().numpy()) for name, each in parameters.items())
    with torch.no_grad():
        for name, values, taken in q8_0.rounded(tensors):
            parameters[name].copy_(torch.from_numpy(values.copy()))
            size_bytes += taken
    return size_bytes / 1e6, _kl(model, reading)


def _kl(model: object, reading: Path) -> float:
    """Return the mean KL divergence of a model of transformers over the texts of a reading."""
    import torch

    source = logits.load(reading)
    parts, start = [], 0
    for token_ids, noted in zip(source.sequences, source.noted.tolist(), strict=True):
        with torch.inference_mode():
            given = model(torch.tensor(token_ids[None].astype("int64")))  # type: ignore[operator]
        rows = given.logits[0, -noted:, : source.vocabulary].numpy().astype(np.float32)
        top_ids = source.top_ids[start : start + noted]
        parts.append(logits.note(rows, top_ids, logits.following(token_ids)[-noted:]))
        start += noted
    found = statistics.fidelity(source.notes, logits.join(parts), source.sequences).kl_mean
    return found.value if found else float("nan")
