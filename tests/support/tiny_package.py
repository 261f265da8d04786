"""A Python package that carries a tiny Llama as one GGUF file, as the embedded model's does."""

from pathlib import Path
from typing import Any

PACKAGE, FILE = "tiny-llama", "tiny_llama/tiny.Q8_0.gguf"
HIDDEN_SIZE, VOCABULARY_SIZE, LAYERS = 64, 260, 2
#: One embedding, shared with the output; per layer seven matrices and two norms; the last norm.
PARAMETERS = HIDDEN_SIZE * (VOCABULARY_SIZE + LAYERS * (7 * HIDDEN_SIZE + 2) + 1)
METADATA = """\
Metadata-Version: 2.4
Name: tiny-llama
Version: 1.0
License-Expression: Apache-2.0

A tiny Llama, for tests.
"""
RECORD = f"""\
{FILE},,
tiny_llama-1.0.dist-info/METADATA,,
tiny_llama-1.0.dist-info/licenses/LICENSE,,
tiny_llama-1.0.dist-info/RECORD,,
"""


def install(site: Path) -> Path:
    """Install the package into the folder ``site``, as pip leaves it there.

    Returns:
        The GGUF file.
    """
    info = site / "tiny_llama-1.0.dist-info"
    (info / "licenses").mkdir(parents=True)
    (info / "METADATA").write_text(METADATA, encoding="utf-8")
    (info / "RECORD").write_text(RECORD, encoding="utf-8")
    (info / "licenses" / "LICENSE").write_text("Do as you like.", encoding="utf-8")
    file = site / FILE
    file.parent.mkdir()
    write_gguf(file)
    return file


def write_gguf(file: Path) -> None:
    """Write a Llama of random weights in 8 bits, the same bytes every time.

    Names of fields and tensors: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
    """
    from gguf import GGUFWriter

    writer = GGUFWriter(file, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN_SIZE)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN_SIZE)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY_SIZE)
    _add_tokenizer(writer)
    _add_tensors(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any) -> None:
    from gguf import TokenType
    from tokenizers.pre_tokenizers import ByteLevel

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    plain = [*sorted(ByteLevel.alphabet()), "he"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([*special, *plain])
    writer.add_token_types([TokenType.CONTROL] * len(special) + [TokenType.NORMAL] * len(plain))
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ messages[0]['content'] }}")


def _add_tensors(writer: Any) -> None:
    import numpy as np
    from gguf import GGMLQuantizationType, quants

    random, kind = np.random.default_rng(0), GGMLQuantizationType.Q8_0
    shapes = {"token_embd": (VOCABULARY_SIZE, HIDDEN_SIZE), "output_norm": (HIDDEN_SIZE,)}
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            shapes[f"blk.{layer}.{name}"] = (HIDDEN_SIZE, HIDDEN_SIZE)
        for name in ("attn_norm", "ffn_norm"):
            shapes[f"blk.{layer}.{name}"] = (HIDDEN_SIZE,)
    for name, shape in shapes.items():
        values = random.normal(size=shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", values)
        else:
            writer.add_tensor(f"{name}.weight", quants.quantize(values, kind), raw_dtype=kind)
