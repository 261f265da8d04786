"""One quantized GGUF file to a checkpoint in float32, with transformers' GGUF reader."""

import json
import re
from pathlib import Path

from slipway.system.progress import printed_lines, report
from slipway.values import Value


class UnpackRequest(Value):
    """A GGUF file, an empty folder, and the public name, which replaces that in the file."""

    file: Path
    into: Path
    name: str


def to_checkpoint(request: UnpackRequest) -> None:
    """Write a GGUF file's weights, configuration and tokenizer in transformers' layout.

    The numbers are those that the file's quantization stands for, in float32. See
    https://huggingface.co/docs/transformers/gguf.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder, name = str(request.file.parent), request.file.name
    with printed_lines(_read_bar):
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file=name,
            quantization_config=GgufConfig(gguf_file=name, dequantize=True),
            dtype=torch.float32,
        )
    report(0.5, "reading the tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    report(0.9, "writing the checkpoint")
    model.save_pretrained(request.into)
    tokenizer.save_pretrained(request.into)
    _edit(request.into / "config.json", {"_model_name_or_path": request.name})
    _edit(request.into / "tokenizer_config.json", {"is_local": None, "local_files_only": None})


def _read_bar(line: str) -> None:
    """Report what transformers' progress bar shows; the library has no other way to tell."""
    if found := re.search(r"de-quantizing.*?(\d+)%", line):
        report(int(found[1]) / 200, "dequantizing")


def _edit(path: Path, changes: dict[str, str | None]) -> None:
    """Set fields of a JSON file; those set to None are removed."""
    document = json.loads(path.read_bytes()) | changes
    for name in (name for name, value in changes.items() if value is None):
        del document[name]
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")
