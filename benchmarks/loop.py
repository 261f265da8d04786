"""Reproduces the loop of https://github.com/microsoft/Olive/issues/1726, and what refuses it.

The builder of onnxruntime-genai makes its default int4 artifact of the embedded model, by its own
command line. Source and artifact answer the prompt of the issue, greedily. Printed are, for each
answer, whether it ended and the share of it in which one phrase is repeated; and the gates of a
release for an int4 artifact, with the figure of each.

Usage: python benchmarks/loop.py FOLDER

FOLDER is that of benchmarks/candidates.py; what it holds is not made again.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from slipway import catalogue
from slipway.checks.answer_table import repetition
from slipway.checks.sampled_rates import LOOP_SHARE
from slipway.evaluation import candidate, fidelity, gates
from slipway.evaluation.runtime import Runtime
from slipway.evaluation.texts import load_texts
from slipway.libraries import disable_telemetry, toolchain
from slipway.settings import PROJECT
from slipway.sources import checkpoint
from slipway.system.process import ProcessLimits
from slipway.system.store import Store
from slipway.system.workspace import Workspace
from slipway.values import BuildResult, Evaluation, Gates

MODEL = "smollm2-135m"
PROMPT = "hello. How are you?"
NEW_TOKENS = 200


def main(folder: Path) -> None:
    """Build, ask, compare, and print."""
    limits = ProcessLimits(timeout_seconds=900, memory_bytes=None, logs=folder / "logs")
    workspace = Workspace(Store(folder / "store"), limits, toolchain())
    entry = catalogue.find(PROJECT / "catalogue.toml", MODEL)
    weights = checkpoint.download(checkpoint.resolve(entry), workspace)
    artifact = built(weights.stored.folder, folder)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights.stored.folder)
    source = AutoModelForCausalLM.from_pretrained(weights.stored.folder, dtype="float32").eval()
    runtime = Runtime(artifact)
    messages = [{"role": "user", "content": PROMPT}]
    token_ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False
    )
    print(PROMPT)
    tell("source", tokenizer, of_source(source, token_ids))
    tell("int4", tokenizer, of_artifact(runtime, token_ids, tokenizer.eos_token_id))
    texts = load_texts(PROJECT / "expectations" / "texts" / entry.texts)
    reading = fidelity.read_source(weights, texts, workspace)
    request = candidate.CandidateRequest(artifact=artifact, reading=reading.stored.folder)
    refused(candidate.compare(request))


def built(weights: Path, folder: Path) -> Path:
    """Return the builder's default int4 artifact."""
    into = folder / "default-int4"
    if not (into / "model.onnx").exists():
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
        command += ["-i", str(weights), "-o", str(into), "-c", str(folder / "cache")]
        command += ["-p", "int4", "-e", "cpu", "--extra_options", "hf_token=false"]
        subprocess.run(command, check=True, capture_output=True)
    return into


def of_source(source: Any, token_ids: list[int]) -> list[int]:
    """Return the greedy answer of the source."""
    import torch

    with torch.inference_mode():
        asked = torch.tensor([token_ids])
        answer = source.generate(asked, max_new_tokens=NEW_TOKENS, do_sample=False)
    return [int(token) for token in answer[0, len(token_ids) :]]


def of_artifact(runtime: Runtime, token_ids: list[int], end: int) -> list[int]:
    """Return the greedy answer of the artifact, with its end token."""
    generator = runtime.generator(len(token_ids) + NEW_TOKENS)
    generator.append_tokens(np.asarray(token_ids, np.int32))
    answer: list[int] = []
    while len(answer) < NEW_TOKENS and end not in answer[-1:]:
        generator.generate_next_token()
        answer.append(int(generator.get_next_tokens()[0]))
    return answer


def tell(name: str, tokenizer: Any, answer: list[int]) -> None:
    """Print an answer, and what a check sees in it."""
    text = tokenizer.decode(answer, skip_special_tokens=True)
    share = repetition(text)
    ended = "ended" if answer[-1] == tokenizer.eos_token_id else "did not end"
    loops = f"loops in {share:.0%} of it" if share > LOOP_SHARE else f"repeats {share:.0%}"
    print(f"  {name}: {len(answer)} tokens, {ended}, {loops}: …{text[-160:]!r}", flush=True)


def refused(found: Any) -> None:
    """Print the gates that an int4 artifact with these figures fails."""
    result = BuildResult(variant="default int4", precision="int4", artifact=None)
    figures = Evaluation(built=result, fidelity=found, speed=None).figures
    limits = gates.limits_for(Gates(), "int4")
    known = {metric: limit for metric, limit in limits.items() if metric in figures}
    for gate in gates.weigh(known, figures, source={}, champion=None):
        print(f"{gate.state}: {gates.in_words(gate)}", flush=True)


if __name__ == "__main__":
    disable_telemetry()
    if len(sys.argv) != 2:  # noqa: PLR2004 - the file and its argument
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
