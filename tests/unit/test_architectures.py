"""Every architecture that may be quantized: its ONNX build computes what transformers computes."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from slipway.build import onnx
from slipway.evaluation import reference as reference_module
from slipway.evaluation.candidate import CandidateRequest, compare
from slipway.evaluation.texts import load_texts
from slipway.settings import PROJECT
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.validation import folders
from slipway.values import Quantization

TOKENS = [5, 17, 42, 99, 7, 3, 250, 31]
SHAPE = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 0,
}
#: What one architecture's configuration needs beside the common shape.
MORE: dict[str, dict[str, Any]] = {
    "GemmaForCausalLM": {"head_dim": 16},
    "Phi3ForCausalLM": {"original_max_position_embeddings": 256},
}


def checkpoint_of(architecture: str, known: Path, folder: Path) -> Path:
    """Write a tiny random checkpoint of an architecture, with the tiny model's tokenizer."""
    import torch
    import transformers

    torch.manual_seed(0)
    kind = getattr(transformers, architecture)
    config = kind.config_class(**SHAPE | MORE.get(architecture, {}))
    kind(config).eval().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(known / name, folder)
    return folder


def largest_difference(checkpoint: Path, artifact: Path) -> float:
    """Return the largest difference between the logits of both, over all positions."""
    import numpy as np
    import onnxruntime_genai
    import torch
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    with torch.no_grad():
        expected = reference(torch.tensor([TOKENS])).logits[0].numpy()  # (tokens, vocabulary)
    model = onnxruntime_genai.Model(str(artifact))
    params = onnxruntime_genai.GeneratorParams(model)
    params.set_search_options(max_length=64)
    generator = onnxruntime_genai.Generator(model, params)
    generator.append_tokens(TOKENS)
    found = np.asarray(generator.get_output("logits"))[0]  # (tokens, vocabulary)
    return float(np.abs(found - expected).max())


def mean_divergence(checkpoint: Path, artifact: Path, folder: Path) -> float:
    """Return the KL divergence that a release would measure, over some of its texts."""
    every = load_texts(PROJECT / "expectations" / "texts" / "general")
    texts = tuple(text for text in every if text.group in {"chat", "chinese", "english"})
    reference_module.read(
        reference_module.ReferenceRequest(weights=checkpoint, texts=texts, into=folder)
    )
    found = compare(CandidateRequest(artifact=artifact, reading=folder))
    assert found.kl_mean is not None
    print(f"{found.tokens} tokens, KL {found.kl_mean}")  # noqa: T201 - shown with -s
    return found.kl_mean.high


@pytest.mark.parametrize("architecture", folders.SUPPORTED)
def test_a_supported_architecture_computes_the_same_logits(
    architecture: str, checkpoint: Path, limits: ProcessLimits, tmp_path: Path
) -> None:
    """In fp32, within 1e-4 of transformers on every position, and without any divergence."""
    origin = checkpoint_of(architecture, checkpoint, tmp_path / "checkpoint")
    into = tmp_path / "artifact" / "model"
    into.mkdir(parents=True)
    request = onnx.BuildRequest(
        weights=origin, into=into, quantization=Quantization(precision="fp32")
    )

    call(onnx.build, request, limits, step="build")

    assert folders.inspect_checkpoint(origin).architecture == architecture
    assert largest_difference(origin, into) <= 1e-4
    assert mean_divergence(origin, into, tmp_path) <= 1e-6


def test_what_was_built_is_read_back_from_the_graph(
    checkpoint: Path, limits: ProcessLimits, tmp_path: Path
) -> None:
    """int8 is int8 in every quantized node, and a graph that is not is refused."""
    from slipway.errors import StepCrashed

    into = tmp_path / "artifact" / "model"
    into.mkdir(parents=True)
    asked = Quantization(precision="int8")
    request = onnx.BuildRequest(weights=checkpoint, into=into, quantization=asked)
    call(onnx.build, request, limits, step="build")

    assert list(onnx.nodes(into)) == ["MatMulNBits int8 block 32 level 4"]
    onnx.require_as_asked(into, asked)
    with pytest.raises(StepCrashed, match="asked for cpu-int4-rtn-block-32"):
        onnx.require_as_asked(into, Quantization(precision="int4"))
    with pytest.raises(StepCrashed, match="asked for cpu-fp32"):
        onnx.require_as_asked(into, Quantization(precision="fp32"))
