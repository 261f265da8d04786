"""A Phi-3 with LongRoPE answers around its switch of factors, and its comparison looks there."""

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Phi3Config, Phi3ForCausalLM

from slipway.evaluation import candidate, logits, reference
from slipway.values import Text
from tests.support.tiny_phi3 import build_onnx

SWITCH, CONTEXT, NEW_TOKENS = 4096, 4500, 8


@pytest.fixture(scope="module")
def long_rope(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a random Phi-3 with other factors beyond 4,096 tokens, as Phi-3.5 mini has them."""
    known = json.loads((checkpoint / "config.json").read_bytes()) | {
        "max_position_embeddings": CONTEXT,
        "original_max_position_embeddings": SWITCH,
        "rope_parameters": {
            "rope_type": "longrope",
            "type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * 8,
            "long_factor": [1.0 + number for number in range(8)],
            "original_max_position_embeddings": SWITCH,
        },
    }
    config = Phi3Config.from_dict(known)
    torch.manual_seed(0)
    model = Phi3ForCausalLM(config).eval()
    for weights in model.parameters():
        if weights.dim() > 1:  # so large that positions matter
            torch.nn.init.normal_(weights, std=0.12)
    folder = tmp_path_factory.mktemp("long-rope") / "checkpoint"
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(checkpoint / file, folder)
    return folder


@pytest.fixture(scope="module")
def long_rope_onnx(long_rope: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return its fp32 build."""
    return build_onnx(long_rope, tmp_path_factory.mktemp("long-rope-onnx"))


@pytest.mark.parametrize("length", [SWITCH - 3, SWITCH, SWITCH + 1, CONTEXT - NEW_TOKENS])
def test_answers_around_the_switch_are_those_of_transformers(
    load: Any, wrapper: ModuleType, long_rope: Path, long_rope_onnx: Path, length: int
) -> None:
    """A prompt that grows beyond it, one of its length, and two that are longer."""
    token_ids = np.random.default_rng(length).integers(6, 300, length).tolist()
    source = AutoModelForCausalLM.from_pretrained(long_rope, dtype=torch.float32)
    expected = source.generate(
        torch.tensor([token_ids]),
        attention_mask=torch.ones((1, length), dtype=torch.int64),
        max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS,
        do_sample=False,
    )

    model = load(long_rope_onnx)
    texts = wrapper.TextStream(model._tokenizer, ())
    greedy = wrapper.Sampling(temperature=0.0)
    answer = wrapper.AnswerInProgress(token_ids, greedy, NEW_TOKENS, texts, ends=())
    lane = wrapper.GeneratorLane(model, answer)
    while not answer.ended:
        lane.step()

    assert answer.sequence[length:] == expected[0, length:].tolist()


def test_a_rope_that_is_wrong_beyond_the_switch_is_seen_there_only(
    long_rope: Path, long_rope_onnx: Path, tmp_path: Path
) -> None:
    """The texts of at most 512 tokens agree to the last digits; the long text does not."""
    other = tmp_path / "other"
    shutil.copytree(long_rope, other)
    config = json.loads((other / "config.json").read_bytes())
    config["rope_parameters"]["long_factor"] = [4.0] * 8
    (other / "config.json").write_text(json.dumps(config), encoding="utf-8")
    texts = (Text(group="english", content="The ferry leaves the old quay at noon. " * 9),)

    found = {}
    for source in (long_rope, other):
        reading = tmp_path / f"reading-{source.name}"
        reading.mkdir()
        reference.read(reference.ReferenceRequest(weights=source, texts=texts, into=reading))
        found[source.name] = candidate.compare(
            candidate.CandidateRequest(artifact=long_rope_onnx, reading=reading)
        )

    right, wrong = found["checkpoint"], found["other"]
    assert logits.load(reading, logits.LONG_TEXTS).sequences.lengths.tolist() == [4352, CONTEXT]
    assert right.kl_mean is not None
    assert right.kl_long is not None
    assert wrong.kl_mean is not None
    assert wrong.kl_long is not None
    assert max(right.kl_mean.high, right.kl_long.high, wrong.kl_mean.high) <= 1e-6
    assert wrong.kl_long.low > 1e-3
    assert {"4352 of 4500 tokens", "4500 of 4500 tokens"} < set(wrong.kl_by_group)
