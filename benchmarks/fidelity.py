"""Measures a comparison against the two bare passes that it needs at least.

Ours: the source's pass with its answers, the candidate's pass, statistics, and the start of both
child processes, as in a release without stored readings. Bare: one process that loads the source in
transformers and one that loads the artifact in onnxruntime-genai; each reads the same token ids
once and discards the logits. Both run in turn. Reported are seconds of the clock and of the
processors; other load on the machine distorts the latter less.

Usage: python benchmarks/fidelity.py CHECKPOINT ARTIFACT [ROUNDS]
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from slipway.evaluation import candidate, logits, reference
from slipway.evaluation.texts import load_texts
from slipway.settings import PROJECT, disable_telemetry
from slipway.system.call import call
from slipway.system.process import ProcessLimits

BAR = 1.5
TEXTS = PROJECT / "expectations" / "texts" / "general"


def main(checkpoint: Path, built: Path, rounds: int) -> None:
    """Measure, and print the result."""
    clock: dict[str, list[float]] = {"ours": [], "bare": []}
    processors: dict[str, list[float]] = {"ours": [], "bare": []}
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            reading = Path(name) / str(number)
            reading.mkdir()
            for way, run in (("ours", ours), ("bare", bare)):
                before, started = used_seconds(), time.perf_counter()
                run(checkpoint, built, reading)
                clock[way].append(time.perf_counter() - started)
                processors[way].append(used_seconds() - before)
        print(f"{len(logits.load_sequences(reading).token_ids):,} tokens, {rounds} rounds")
    report("clock", clock)
    report("processors", processors)


def report(kind: str, times: dict[str, list[float]]) -> None:
    """Print the medians of one kind of seconds, and their ratio."""
    ours_s, bare_s = (statistics.median(times[way]) for way in ("ours", "bare"))
    ratio = f"ratio {ours_s / bare_s:.2f} (at most {BAR})"
    print(f"{kind}: ours {ours_s:.1f} s, bare {bare_s:.1f} s, {ratio}")


def used_seconds() -> float:
    """Return the processor seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ours(checkpoint: Path, built: Path, reading: Path) -> None:
    """Compare as a release does."""
    limits = ProcessLimits(timeout_seconds=900, memory_bytes=None, logs=reading.parent / "logs")
    texts = load_texts(TEXTS)
    read = reference.ReferenceRequest(weights=checkpoint, texts=texts, into=reading)
    call(reference.read, read, limits, step="read source")
    request = candidate.CandidateRequest(artifact=built, reading=reading)
    found = call(candidate.compare, request, limits, step="compare").value
    print(f"KL divergence {found.kl_mean}, {found.broken} broken", flush=True)


def bare(checkpoint: Path, built: Path, reading: Path) -> None:
    """Read with both runtimes, each in its own process."""
    for way, folder in (("source", checkpoint), ("artifact", built)):
        subprocess.run([sys.executable, __file__, way, str(folder), str(reading)], check=True)


def read_source(folder: Path, reading: Path) -> None:
    """Read the texts with transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    for token_ids in logits.load_sequences(reading):
        with torch.inference_mode():
            model(torch.tensor(token_ids[None].astype("int64")), use_cache=False)


def read_artifact(folder: Path, reading: Path) -> None:
    """Read the texts with onnxruntime-genai, each in one piece."""
    import onnxruntime_genai

    model = onnxruntime_genai.Model(str(folder))
    for token_ids in logits.load_sequences(reading):
        params = onnxruntime_genai.GeneratorParams(model)
        params.set_search_options(max_length=len(token_ids) + 1)
        generator = onnxruntime_genai.Generator(model, params)
        generator.append_tokens(token_ids)
        generator.get_output("logits")


if __name__ == "__main__":
    disable_telemetry()
    match sys.argv[1:]:
        case ["source", folder, reading]:
            read_source(Path(folder), Path(reading))
        case ["artifact", folder, reading]:
            read_artifact(Path(folder), Path(reading))
        case [checkpoint, built, *rounds]:
            main(Path(checkpoint), Path(built), int(rounds[0]) if rounds else 3)
        case _:
            sys.exit(__doc__)
