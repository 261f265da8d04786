"""SmolLM2 135M loops in int4, as others saw, and is refused for it; int8 does not.

See https://github.com/microsoft/Olive/issues/1726; benchmarks/loop.py has the prompt of the issue.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slipway import catalogue
from slipway.build import artifacts
from slipway.checks.answer_table import repetition
from slipway.checks.sampled_rates import LOOP_SHARE
from slipway.evaluation import evaluate, gates
from slipway.evaluation.runtime import Runtime
from slipway.evaluation.texts import load_texts
from slipway.settings import PROJECT
from slipway.sources import checkpoint
from slipway.system.process import ProcessLimits
from slipway.values import Gates, Quantization, QuantizeRecipe
from tests.support.crashes import ALL
from tests.support.measured_values import workspace_of

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.slow,
    pytest.mark.skipif(not ALL, reason="`make faults` runs it: it reads the source for minutes"),
]

QUESTIONS = ("hello. How are you?", "What is the capital of Japan?", "Write a haiku about autumn.")
TOKENS = 200


def answers(artifact: Path) -> list[str]:
    """Return the greedy answer to each question."""
    from tokenizers import Tokenizer

    runtime, tokenizer = Runtime(artifact), Tokenizer.from_file(str(artifact / "tokenizer.json"))
    found = []
    for question in QUESTIONS:
        prompt = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        token_ids = runtime.encode(prompt)
        generator = runtime.generator(len(token_ids) + TOKENS)
        generator.append_tokens(token_ids)
        while not generator.is_done():
            generator.generate_next_token()
        given = np.asarray(generator.get_sequence(0))[len(token_ids) :]
        found.append(tokenizer.decode(given.tolist()))
    return found


def test_int4_loops_and_is_refused(limits: ProcessLimits) -> None:
    """The divergence says so before anybody reads an answer; int8 does neither."""
    workspace = workspace_of(replace(limits, timeout_seconds=900))
    entry = catalogue.find(PROJECT / "catalogue.toml", "smollm2-135m")
    weights = checkpoint.download(checkpoint.resolve(entry), workspace)
    recipe = QuantizeRecipe(
        candidates=(Quantization(precision="int4"), Quantization(precision="int8"))
    )
    texts = load_texts(PROJECT / "expectations" / "texts" / entry.texts)

    built = artifacts.build(weights, recipe, workspace)
    found = evaluate.evaluate(weights, built, texts, workspace, speed_rounds=1)

    int4, int8 = (
        max(map(repetition, answers(each.artifact.stored.folder)))
        for each in built
        if each.artifact
    )
    assert int8 <= LOOP_SHARE < int4
    first, second = (gates.score(each, Gates(), source={}, champion=None) for each in found)
    failed = [gate for gate in first.gates if gate.state == "fail"]
    assert {"kl_mean", "top1_agreement", "perplexity_ratio"} <= {gate.metric for gate in failed}
    assert not [gate for gate in second.gates if gate.state == "fail"]
    print(f"a loop covers {int4:.0%} of an answer;", "; ".join(map(gates.in_words, failed)))  # noqa: T201 - shown with -s
