"""Measures what GPTQ gains: int4 artifacts of the embedded model, calibrated and rounded.

Each candidate is built twice, with ``method = "gptq"`` and without, and both are compared with the
source on the texts of a release. Then a search with GPTQ looks for the smallest artifact that
passes the gates of int4, and everything that it built is listed, the best first.

The folder may be that of benchmarks/candidates.py; what is in its store is not built again. A
candidate takes some minutes of one core, and the search half an hour.

Usage: python benchmarks/gptq.py FOLDER
"""

import os
import sys
from pathlib import Path

from slipway import catalogue
from slipway.build import artifacts
from slipway.evaluation import fidelity, search, units
from slipway.evaluation.texts import load_calibration, load_texts
from slipway.libraries import disable_telemetry, toolchain
from slipway.settings import PROJECT
from slipway.sources import checkpoint
from slipway.system.process import ProcessLimits
from slipway.system.store import Store
from slipway.system.workspace import Workspace
from slipway.values import (
    Estimate,
    Fidelity,
    Metric,
    Quantization,
    QuantizeRecipe,
    SearchRecipe,
    Weights,
)

MODEL = "smollm2-135m"
METRICS: tuple[Metric, ...] = ("kl_mean", "top1_agreement", "perplexity_ratio")
ROUNDED = (
    Quantization(precision="int4", mixed=("last_matmul", "mixed_layers")),
    Quantization(precision="int4"),
)
SEARCH = SearchRecipe(max_kl=0.15, max_builds=8, method="gptq")


def main(folder: Path) -> None:
    """Build, compare, search, and print the table."""
    limits = ProcessLimits(timeout_seconds=3600, memory_bytes=None, logs=folder / "logs")
    workspace = Workspace(Store(folder / "store"), limits, toolchain())
    entry = catalogue.find(PROJECT / "catalogue.toml", MODEL)
    weights = checkpoint.download(checkpoint.resolve(entry), workspace)
    print("| candidate | MB | KL, nats per token | top-1 | perplexity | built in |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for each in ROUNDED:
        calibrated = each.model_copy(update={"method": "gptq"})
        show(QuantizeRecipe(candidates=(each, calibrated)), weights, workspace, entry.texts)
    entry = entry.model_copy(update={"recipe": SEARCH})
    texts = load_texts(PROJECT / "expectations" / "texts" / entry.texts)
    calibration = load_calibration(SEARCH, PROJECT / "expectations")
    found = search.find(entry, weights, texts, workspace, calibration).recipe
    if isinstance(found, QuantizeRecipe):
        show(found, weights, workspace, entry.texts)


def show(recipe: QuantizeRecipe, weights: Weights, workspace: Workspace, texts: str) -> None:
    """Build the candidates of a recipe, and print a row of each."""
    expectations = PROJECT / "expectations"
    reading = fidelity.read_source(weights, load_texts(expectations / "texts" / texts), workspace)
    calibration = load_calibration(recipe, expectations)
    for built in artifacts.build(weights, recipe, workspace, calibration):
        if built.artifact is None:
            sys.exit(built.reason)
        found = fidelity.measure(built.artifact, reading, workspace)
        size = f"{built.artifact.stored.size_bytes / 1e6:.0f}"
        seconds = f"{built.artifact.build_seconds:.0f} s"
        print(f"| {built.variant} | {size} | {figures(found)} | {seconds} |", flush=True)


def figures(found: Fidelity | str) -> str:
    """Write what a comparison found as columns of the table."""
    if isinstance(found, str):
        return f"{found} | |"
    known = {name: each for name, each in found if isinstance(each, Estimate)}
    return " | ".join(units.figure(metric, known.get(metric)) for metric in METRICS)


if __name__ == "__main__":
    disable_telemetry()
    os.environ.setdefault("PYTHONPATH", str(PROJECT))
    match sys.argv[1:]:
        case [folder]:
            main(Path(folder))
        case _:
            sys.exit(__doc__)
