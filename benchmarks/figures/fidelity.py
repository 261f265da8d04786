"""A comparison of one candidate with its source, against the two bare passes that it needs.

Ours: the source's pass with its answers, the candidate's pass, statistics, and the start of both
child processes, as in a release without stored readings. Bare: one process that loads the source in
transformers and one that loads the artifact in onnxruntime-genai; each reads the same token ids
once and discards the logits.
"""

import shutil
import sys
from pathlib import Path

from benchmarks.bare_runtime import Bare, texts_of
from benchmarks.figure import Figure, Measured, at_most
from benchmarks.measure import interleaved, printed, seconds
from benchmarks.models import Home, released_home
from slipway.evaluation import candidate, reference
from slipway.evaluation.texts import load_texts
from slipway.system.call import call
from slipway.system.process import ProcessLimits

ROUNDS, QUICK_ROUNDS = 3, 1
BAR = 1.5


def measure(work: Path, quick: bool) -> Figure:
    """Compare the champion's artifact with its source in both ways, in turn."""
    home = released_home(work, quick)
    (weights,), (reading,) = home.stored("weights"), home.stored("reading")
    ways = {
        "ours": lambda: seconds(lambda: _ours(home, weights, work / "reading")),
        "bare": lambda: seconds(lambda: _bare(home, weights, reading)),
    }
    found = interleaved(ways, QUICK_ROUNDS if quick else ROUNDS)
    tokens = sum(map(len, texts_of(reading)))
    line = Measured(
        name="comparison of one candidate with its source",
        unit="s",
        value=found["ours"],
        floor=found["bare"],
        floor_name="both models read the texts, bare",
        bars=(at_most(BAR),),
    )
    return Figure(name="fidelity", measured=(line,), notes=(f"{tokens:,} tokens.",))


def _ours(home: Home, weights: Path, into: Path) -> None:
    """Compare as a release does."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    limits = ProcessLimits(timeout_seconds=1800, memory_bytes=None, logs=into.parent / "logs")
    texts = load_texts(home.expectations / "texts" / home.entry.texts)
    read = reference.ReferenceRequest(weights=weights, texts=texts, into=into)
    call(reference.read, read, limits, step="read source")
    request = candidate.CandidateRequest(artifact=home.artifact, reading=into)
    call(candidate.compare, request, limits, step="compare")


def _bare(home: Home, weights: Path, reading: Path) -> None:
    """Read with both runtimes, each in its own process."""
    for way, folder in (("source", weights), ("artifact", home.artifact)):
        printed("-m", "benchmarks.figures.fidelity", way, str(folder), str(reading))


def _read_source(folder: Path, reading: Path) -> None:
    """Read the texts with transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    for token_ids in texts_of(reading):
        with torch.inference_mode():
            model(torch.tensor(token_ids[None].astype("int64")), use_cache=False)


def _read_artifact(folder: Path, reading: Path) -> None:
    """Read the texts with onnxruntime-genai, each in one piece."""
    artifact = Bare(folder)
    for token_ids in texts_of(reading):
        artifact.logits(token_ids)


if __name__ == "__main__":
    read = {"source": _read_source, "artifact": _read_artifact}[sys.argv[1]]
    read(Path(sys.argv[2]), Path(sys.argv[3]))
