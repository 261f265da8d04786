"""What a comparison costs against the two bare passes that it cannot do without.

Ours: the source's pass with its answers, the candidate's pass, statistics, and the start of both
child processes, as a release does it when nothing is stored. Bare: one process that loads the
source in transformers and one that loads the artifact in onnxruntime-genai, each of which reads the
same token ids once and throws the logits away. Both run in turn.

Usage: python benchmarks/fidelity.py CHECKPOINT ARTIFACT
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from slipway import child, fidelity
from slipway.fidelity import artifact, notes, source
from slipway.settings import PROJECT

ROUNDS = 3
BAR = 1.5
TEXTS = PROJECT / "expectations" / "texts" / "general"


def main(checkpoint: Path, built: Path) -> None:
    """Measure, and print what was measured."""
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    with tempfile.TemporaryDirectory() as name:
        for number in range(ROUNDS):
            reading = Path(name) / str(number)
            reading.mkdir()
            times["ours"].append(ours(checkpoint, built, reading))
            times["bare"].append(bare(checkpoint, built, reading))
        tokens = len(notes.load_sequences(reading).token_ids)
    median = {way: statistics.median(seconds) for way, seconds in times.items()}
    for way, seconds in times.items():
        rounds = ", ".join(f"{each:.1f}" for each in seconds)
        print(f"{way}: median {median[way]:.1f} s for {tokens:,} tokens ({rounds})")
    print(f"ratio ours / bare: {median['ours'] / median['bare']:.2f} (at most {BAR})")


def ours(checkpoint: Path, built: Path, reading: Path) -> float:
    """Compare as a release does, and return the seconds that it took."""
    limits = child.Limits(timeout_seconds=900, memory_bytes=None, logs=reading.parent / "logs")
    texts = fidelity.load_texts(TEXTS)
    started = time.perf_counter()
    read = source.Request(weights=checkpoint, texts=texts, into=reading)
    child.call(source.read, read, limits, step="read source")
    asked = artifact.Request(artifact=built, reading=reading)
    found = child.call(artifact.compare, asked, limits, step="compare").value
    seconds = time.perf_counter() - started
    print(f"KL divergence {found.kl_mean}, {found.broken} broken", flush=True)
    return seconds


def bare(checkpoint: Path, built: Path, reading: Path) -> float:
    """Read with both, each in a process of its own, and return the seconds that they took."""
    started = time.perf_counter()
    for way, folder in (("source", checkpoint), ("artifact", built)):
        subprocess.run([sys.executable, __file__, way, str(folder), str(reading)], check=True)
    return time.perf_counter() - started


def read_source(folder: Path, reading: Path) -> None:
    """Read the texts with transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    for token_ids in notes.load_sequences(reading):
        with torch.inference_mode():
            model(torch.tensor(token_ids[None].astype("int64")), use_cache=False)


def read_artifact(folder: Path, reading: Path) -> None:
    """Read the texts with onnxruntime-genai, each in one piece."""
    import onnxruntime_genai

    model = onnxruntime_genai.Model(str(folder))
    for token_ids in notes.load_sequences(reading):
        params = onnxruntime_genai.GeneratorParams(model)
        params.set_search_options(max_length=len(token_ids) + 1)
        generator = onnxruntime_genai.Generator(model, params)
        generator.append_tokens(token_ids)
        generator.get_output("logits")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["source", folder, reading]:
            read_source(Path(folder), Path(reading))
        case ["artifact", folder, reading]:
            read_artifact(Path(folder), Path(reading))
        case [checkpoint, built]:
            main(Path(checkpoint), Path(built))
        case _:
            sys.exit(__doc__)
