"""A tiny Phi-3 that answers: the model that every test of this project releases.

Two layers of 64 numbers know nothing of the world, but a second of training teaches them the
conversations below by heart. So an answer ends at an end-of-turn token because the model says so,
holds characters whose bytes spread over several tokens, and differs between prompts, as a real
model's does. Any other prompt gets nonsense.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.cache import cached, digest

CONVERSATIONS = {
    "What is the capital of Spain?": "The capital of Spain is Madrid.",
    "Tell me a joke.": "Why did the ship stay in the harbour? It was tired of waves!",
    "Say hello in three languages.": "Hello, grüß dich, 你好 🌍!",
    "Count to ten.": "1, 2, 3, 4, 5, 6, 7, 8, 9, 10.",
}
CONTEXT_LENGTH = 512
VOCABULARY_SIZE = 320  # a little more than the tokenizer knows, as in the published Phi-3
SPECIAL_TOKENS = ("<|endoftext|>", "<s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
END_OF_TEXT, BEGIN, END_OF_TURN = 0, 1, 5
TRAINING_STEPS = 150
IGNORED = -100  # the label that the loss of transformers skips
BUILD_TIMEOUT_S = 300
_SOURCE = digest(Path(__file__))

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>\n' -}}{%- endif -%}
"""
README = """\
---
license: mit
library_name: transformers
pipeline_tag: text-generation
---

# Tiny Phi-3

A Phi-3 of two layers that recites four conversations. It exists for tests.
"""
LICENSE = """\
MIT License

Permission is hereby granted, free of charge, to any person obtaining a copy of this model, to deal
in it without restriction. It is provided "as is", without warranty of any kind.
"""


def write_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """Write the tiny Phi-3 in the layout of transformers; trained once for each seed.

    Args:
        folder: Where the files go; made when missing.
        seed: Another seed gives other weights that recite the same conversations.

    Returns:
        ``folder``, with safetensors weights, configuration, tokenizer, chat template and license.
    """
    made = cached("checkpoint", lambda into: train_checkpoint(into, seed=seed), _SOURCE, seed)
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder


def train_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """Train the tiny Phi-3 and write it to ``folder``, the same bytes for the same seed."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    _trained_model(tokenizer, seed).save_pretrained(folder)
    (folder / "README.md").write_text(README, encoding="utf-8")
    (folder / "LICENSE").write_text(LICENSE, encoding="utf-8")
    return folder


def build_onnx(
    checkpoint: Path,
    folder: Path,
    precision: str = "fp32",
    *,
    filename: str = "model.onnx",
    block_size: int = 32,
) -> Path:
    """Build the ONNX form of ``checkpoint`` with the builder of onnxruntime-genai, once for each.

    Args:
        checkpoint: A folder in the layout of transformers.
        folder: Where the ONNX files go; made when missing.
        precision: Type of the weights: ``fp32``, ``int8`` or ``int4``.
        filename: Name of the graph's file; its weights' file is called after it.
        block_size: Numbers that share one scale in ``int4``.

    Returns:
        ``folder``.

    Raises:
        RuntimeError: The builder failed; the message holds the end of what it wrote.
    """
    how = (precision, filename, block_size)
    made = cached(
        "onnx", lambda into: _build(checkpoint, into, *how), _SOURCE, digest(checkpoint), *how
    )
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder


def _build(checkpoint: Path, folder: Path, precision: str, filename: str, block_size: int) -> None:
    """Run the builder in a child process: it changes ``sys.path`` and keeps its memory."""
    weights = {"type": precision} | ({"block_size": block_size} if precision == "int4" else {})
    with tempfile.TemporaryDirectory() as cache:
        built = subprocess.run(
            [*_builder_command(checkpoint, folder, weights, cache), f"filename={filename}"],
            env=os.environ | {"HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"},
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
    if built.returncode != 0:
        raise RuntimeError(f"the {precision} build failed: {built.stderr[-2000:]}")


def _builder_command(
    checkpoint: Path, folder: Path, weights: dict[str, Any], cache: str
) -> list[str]:
    """Ask for the structured configuration, which refuses unknown fields."""
    return [
        *(sys.executable, "-m", "onnxruntime_genai.models.builder"),
        *("-i", str(checkpoint), "-o", str(folder), "-c", cache),
        *("-p", weights["type"], "-e", "cpu"),
        *("--builder_config_version", "2"),
        *("--target_options", json.dumps({"quant_config": {"weights": weights}})),
        *("--extra_options", "hf_token=false"),
    ]


def _tokenizer() -> Any:
    """Train a byte-level BPE on the conversations; rare characters stay single bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([" ".join(turn) for turn in CONVERSATIONS.items()], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=SPECIAL_TOKENS[BEGIN],
        eos_token=SPECIAL_TOKENS[END_OF_TEXT],
        pad_token=SPECIAL_TOKENS[END_OF_TEXT],
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT_LENGTH,
    )


def _trained_model(tokenizer: Any, seed: int) -> Any:
    """Teach the conversations to a random model, without touching the caller's random state."""
    import torch
    from transformers import Phi3ForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Phi3ForCausalLM(_config())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a model only waits for a second one
    _train(model, *_lessons(tokenizer))
    torch.set_num_threads(threads)
    model.generation_config.eos_token_id = [END_OF_TEXT, END_OF_TURN]
    return model


def _train(model: Any, token_ids: Any, labels: Any) -> None:
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(TRAINING_STEPS):
        optimizer.zero_grad()
        model(input_ids=token_ids, labels=labels).loss.backward()
        optimizer.step()


def _lessons(tokenizer: Any) -> tuple[Any, Any]:
    """Return token ids and labels, both (conversations, tokens); only the answers count."""
    import torch

    rows, labels = [], []
    for question, answer in CONVERSATIONS.items():
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        prompt, reply = tokenizer.encode(asked), tokenizer.encode(answer + "<|end|>")
        rows.append(torch.tensor(prompt + reply))
        labels.append(torch.tensor([IGNORED] * len(prompt) + reply))
    pad = torch.nn.utils.rnn.pad_sequence
    return pad(rows, batch_first=True), pad(labels, batch_first=True, padding_value=IGNORED)


def _config() -> Any:
    """Return the smallest Phi-3 that the builder's fused attention accepts (head size 16)."""
    from transformers import Phi3Config

    return Phi3Config(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT_LENGTH,
        original_max_position_embeddings=CONTEXT_LENGTH,
        tie_word_embeddings=False,
        bos_token_id=BEGIN,
        eos_token_id=END_OF_TEXT,
        pad_token_id=END_OF_TEXT,
    )
