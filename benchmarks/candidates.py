"""Builds candidates of the embedded model and measures each as a release does.

Every candidate is built from the weights of the package, read back from its graph, compared with
its source on the texts of a release, and timed, all candidates in turn. The table is Markdown, as
in docs/fidelity.md. Other load on the machine distorts seconds and speeds, and no other figure.

What was built, what the source computed, and each candidate's fidelity stay in the folder, so a run
that was ended goes on where it was. Timed is what the run itself names.

Usage: python benchmarks/candidates.py FOLDER [SPEED_ROUNDS [CANDIDATES]]

CANDIDATES is a JSON list of candidates as in catalogue.toml; those below are the default.
"""

import os
import sys
import time
from pathlib import Path

from pydantic import TypeAdapter

from slipway import catalogue
from slipway.build import artifacts
from slipway.evaluation import fidelity, speed
from slipway.evaluation.texts import load_texts
from slipway.libraries import disable_telemetry, toolchain
from slipway.settings import PROJECT
from slipway.sources import checkpoint
from slipway.system.process import ProcessLimits
from slipway.system.store import Store
from slipway.system.workspace import Workspace
from slipway.values import Artifact, Estimate, Fidelity, Quantization, QuantizeRecipe, Speed

MODEL = "smollm2-135m"
MIXED = ("last_matmul", "mixed_layers")
CANDIDATES = (
    Quantization(precision="int8", embeddings="float"),
    Quantization(precision="int8", embeddings="tied"),
    Quantization(precision="int8", block_size=64, embeddings="tied"),
    Quantization(precision="int8", block_size=128, embeddings="tied"),
    Quantization(precision="int4", embeddings="tied"),
    Quantization(precision="int4", mixed=MIXED, embeddings="tied"),
    Quantization(precision="int4", method="k_quant", mixed=MIXED, embeddings="tied"),
    Quantization(precision="int4", block_size=16, symmetric=False, mixed=MIXED, embeddings="tied"),
)
COLUMNS = "candidate | MB | KL, nats per token | top-1 | perplexity | decode, tokens/s | prefill"


def main(folder: Path, rounds: int, candidates: tuple[Quantization, ...]) -> None:
    """Build, measure, and print the table."""
    limits = ProcessLimits(timeout_seconds=900, memory_bytes=None, logs=folder / "logs")
    workspace = Workspace(Store(folder / "store"), limits, toolchain())
    entry = catalogue.find(PROJECT / "catalogue.toml", MODEL)
    weights = checkpoint.download(checkpoint.resolve(entry), workspace)
    built = artifacts.build(weights, QuantizeRecipe(candidates=candidates), workspace)
    for each in built:
        log(each.reason or f"{each.variant}: {each.artifact and each.artifact.nodes}")
    texts = load_texts(PROJECT / "expectations" / "texts" / entry.texts)
    reading = fidelity.read_source(weights, texts, workspace)
    ready = tuple(each.artifact for each in built if each.artifact)
    compared = [measured(artifact, reading, folder, workspace) for artifact in ready]
    timed = speed.measure(ready, workspace, rounds) if rounds else ("not timed",) * len(ready)
    show(COLUMNS)
    show(" | ".join("---" for _ in COLUMNS.split("|")))
    for artifact, close, fast in zip(ready, compared, timed, strict=True):
        show(" | ".join([*figures(artifact, close), *speeds(fast)]))


def measured(
    artifact: Artifact, reading: fidelity.ReferenceReading, folder: Path, workspace: Workspace
) -> Fidelity | str:
    """Return the fidelity of an artifact, measured unless an earlier run did."""
    file = folder / f"{artifact.stored.key}-{reading.stored.key}.json"
    if file.exists():
        return Fidelity.model_validate_json(file.read_bytes())
    started = time.perf_counter()
    found = fidelity.measure(artifact, reading, workspace)
    if isinstance(found, Fidelity):
        file.write_text(found.model_dump_json(), encoding="utf-8")
    log(f"{artifact.variant}: compared in {time.perf_counter() - started:.0f} s")
    return found


def figures(artifact: Artifact, found: Fidelity | str) -> list[str]:
    """Return the columns of a candidate's size and fidelity."""
    first = [artifact.variant.removeprefix("cpu-"), f"{artifact.stored.size_bytes / 1e6:.0f}"]
    if isinstance(found, str):
        return [*first, found, "", ""]
    kl, top1, ratio = found.kl_mean, found.top1_agreement, found.perplexity_ratio
    agreement = f"{top1.value:.1%}" if top1 else "?"
    return [*first, interval(kl), agreement, f"{ratio.value:.3f}" if ratio else "?"]


def speeds(found: Speed | str) -> list[str]:
    """Return the columns of a candidate's speed."""
    if isinstance(found, str):
        return [found, ""]
    return [f"{found.decode_tokens_per_second:.0f}", f"{found.prefill_tokens_per_second:.0f}"]


def interval(found: Estimate | None) -> str:
    """Write a figure with its interval."""
    return f"{found.value:.4f} ({found.low:.4f} to {found.high:.4f})" if found else "?"


def show(row: str) -> None:
    """Print a row of the table."""
    print(f"| {row} |", flush=True)


def log(text: str) -> None:
    """Print what is no part of the table."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    disable_telemetry()
    os.environ.setdefault("PYTHONPATH", str(PROJECT))
    match sys.argv[1:]:
        case [folder]:
            main(Path(folder), 3, CANDIDATES)
        case [folder, rounds]:
            main(Path(folder), int(rounds), CANDIDATES)
        case [folder, rounds, written]:
            several = TypeAdapter(tuple[Quantization, ...])
            main(Path(folder), int(rounds), several.validate_json(written))
        case _:
            sys.exit(__doc__)
