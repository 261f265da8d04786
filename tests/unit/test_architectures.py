"""Every architecture that may be quantized: its ONNX build computes what transformers computes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from slipway.build import onnx
from slipway.errors import SourceRefused, StepCrashed
from slipway.evaluation import reference as reference_module
from slipway.evaluation.candidate import CandidateRequest, compare
from slipway.evaluation.runtime import Runtime
from slipway.evaluation.texts import load_texts
from slipway.settings import PROJECT
from slipway.sources import lengths
from slipway.sources.layers import replace_matrices
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.validation import folders
from slipway.values import Quantization, Text

SHAPE = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 0,
}
WINDOW = 100
CONTEXT_BEYOND_SWITCH = 4400
#: What makes each configuration a real one of its architecture, beside the common shape.
REAL: dict[str, tuple[str, dict[str, Any]]] = {
    "Gemma": ("GemmaForCausalLM", {"head_dim": 32}),
    "Granite": (
        "GraniteForCausalLM",
        {
            "embedding_multiplier": 12.0,
            "attention_multiplier": 0.0156,
            "residual_multiplier": 0.22,
            "logits_scaling": 8.0,
        },
    ),
    "Llama 3, with a window that Llama ignores": (
        "LlamaForCausalLM",
        {
            "sliding_window": WINDOW,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 128,
            },
        },
    ),
    "Mistral": ("MistralForCausalLM", {"sliding_window": WINDOW}),
    "Phi-3 mini 4k": (
        "Phi3ForCausalLM",
        {"sliding_window": WINDOW, "original_max_position_embeddings": 512},
    ),
    "Phi-4 mini: LongRoPE for a part of each head, and a window longer than the context": (
        "Phi3ForCausalLM",
        {
            "hidden_size": 128,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "tie_word_embeddings": True,
            "sliding_window": 2 * CONTEXT_BEYOND_SWITCH,
            "max_position_embeddings": CONTEXT_BEYOND_SWITCH,
            "original_max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "longrope",
                "type": "longrope",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.75,
                "short_factor": [1.0] * 24,
                "long_factor": [1.0 + number for number in range(24)],
                "original_max_position_embeddings": 4096,
            },
        },
    ),
    "Qwen2, whose last layers have a window": (
        "Qwen2ForCausalLM",
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "Qwen3, whose last layers have a window": (
        "Qwen3ForCausalLM",
        {
            "head_dim": 32,
            "use_sliding_window": True,
            "sliding_window": WINDOW,
            "max_window_layers": 1,
        },
    ),
    "SmolLM3, whose every fourth layer has a window and no positions": (
        "SmolLM3ForCausalLM",
        {"num_hidden_layers": 5, "use_sliding_window": True, "sliding_window": WINDOW},
    ),
}


def checkpoint_of(name: str, known: Path, folder: Path) -> Path:
    """Write a tiny random checkpoint of a configuration, with the tiny model's tokenizer."""
    import torch
    import transformers

    torch.manual_seed(0)
    architecture, more = REAL[name]
    kind = getattr(transformers, architecture)
    model = kind(kind.config_class(**SHAPE | more)).eval()
    for weights in model.parameters():
        if weights.dim() > 1:  # so large that positions matter
            torch.nn.init.normal_(weights, std=0.12)
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(known / file, folder)
    return folder


def longest_lengths(checkpoint: Path) -> list[int]:
    """Return lengths around each limit of a checkpoint, and the longest before its context's end.

    That of the context leaves no room for an answer.
    """
    found = lengths.read(checkpoint)
    limits = [limit for limit in (found.window, found.rope_switch) if limit]
    return [*(limit + more for limit in limits for more in (0, 1, 200)), found.context - 1]


def largest_differences(checkpoint: Path, artifact: Path, length: int) -> tuple[float, float]:
    """Return the largest difference of a logit, for a text in the wrapper's slices and at once."""
    import torch
    from transformers import AutoModelForCausalLM

    token_ids = np.random.default_rng(length).integers(6, 300, length).astype(np.int32)
    source = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    with torch.no_grad():
        expected = source(torch.tensor(token_ids[None].astype(np.int64))).logits[0].numpy()
    runtime = Runtime(artifact)
    generator = runtime.generator(length + 1)
    generator.append_tokens(token_ids)
    at_once = np.asarray(generator.get_output("logits"))[0]
    in_slices = np.concatenate(list(runtime.logits(token_ids)))
    in_slices_difference, at_once_difference = (
        float(np.abs(found - expected).max()) for found in (in_slices, at_once)
    )
    return in_slices_difference, at_once_difference


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


def test_every_supported_architecture_has_a_real_configuration() -> None:
    """An architecture is listed if its build was compared with transformers, here."""
    assert {architecture for architecture, _ in REAL.values()} == {*folders.SUPPORTED}


@pytest.mark.parametrize("name", REAL)
def test_the_layers_of_a_supported_architecture_can_be_calibrated(
    name: str, checkpoint: Path, tmp_path: Path
) -> None:
    """Each product that its graph has is found in the source, with inputs of its width."""
    origin = checkpoint_of(name, checkpoint, tmp_path / "checkpoint")
    products = [f"self_attn.{each}" for each in ("qkv_proj", "o_proj")]
    products += [f"mlp.{each}" for each in ("gate_proj", "up_proj", "down_proj")]
    found: list[str] = []

    def keep(product: str, matrix: NDArray[Any], square: NDArray[Any]) -> NDArray[Any]:
        assert square.shape == (matrix.shape[1], matrix.shape[1])
        found.append(product)
        return matrix

    replace_matrices(origin, (Text(group="known", content="Count to ten."),), {1: products}, keep)

    assert found == [f"1.{each}" for each in products]


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_a_supported_architecture_computes_the_same_logits_at_every_length(
    name: str, checkpoint: Path, limits: ProcessLimits, tmp_path: Path
) -> None:
    """In fp32, beyond its window and its rope's switch, in slices and at once."""
    origin = checkpoint_of(name, checkpoint, tmp_path / "checkpoint")
    before = (origin / "config.json").read_bytes()
    into = tmp_path / "artifact" / "model"
    into.mkdir(parents=True)
    request = onnx.BuildRequest(
        weights=origin, into=into, quantization=Quantization(precision="fp32")
    )

    call(onnx.build, request, limits, step="build")

    assert folders.check_checkpoint(origin).architecture == REAL[name][0]
    for length in longest_lengths(origin):
        assert max(largest_differences(origin, into, length)) <= 1e-4, f"{length} tokens"
    assert mean_divergence(origin, into, tmp_path) <= 1e-6
    assert (origin / "config.json").read_bytes() == before
    assert [path.name for path in into.parent.iterdir()] == [into.name]


def test_a_rope_that_the_runtime_does_not_switch_is_refused_before_it_is_built(
    checkpoint: Path, tmp_path: Path
) -> None:
    """The runtime computes its cache anew at 4,096 tokens, and at no other length."""
    name = next(name for name in REAL if name.startswith("Phi-4"))
    origin = checkpoint_of(name, checkpoint, tmp_path / "checkpoint")
    config = json.loads((origin / "config.json").read_bytes())
    config["original_max_position_embeddings"] = 2048
    config["rope_parameters"]["original_max_position_embeddings"] = 2048
    (origin / "config.json").write_text(json.dumps(config), encoding="utf-8")
    request = onnx.BuildRequest(
        weights=origin, into=tmp_path / "model", quantization=Quantization(precision="fp32")
    )

    with pytest.raises(SourceRefused, match="switches factors at 2,048 tokens; use a model"):
        onnx.build(request)


def test_what_was_built_is_read_back_from_the_graph(
    checkpoint: Path, limits: ProcessLimits, tmp_path: Path
) -> None:
    """int8 is int8 in every quantized node, and a graph that is not is refused."""
    into = tmp_path / "artifact" / "model"
    into.mkdir(parents=True)
    asked = Quantization(precision="int8")
    request = onnx.BuildRequest(weights=checkpoint, into=into, quantization=asked)
    call(onnx.build, request, limits, step="build")

    nodes = folders.check_artifact(into).nodes
    assert list(nodes) == ["MatMulNBits int8 block 32 level 4"]
    onnx.require_as_asked(nodes, asked, "log")
    with pytest.raises(StepCrashed, match="asked for cpu-int4-rtn-block-32"):
        onnx.require_as_asked(nodes, Quantization(precision="int4"), "log")
    with pytest.raises(StepCrashed, match="asked for cpu-fp32"):
        onnx.require_as_asked(nodes, Quantization(precision="fp32"), "log")
