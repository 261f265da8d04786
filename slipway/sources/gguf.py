"""One quantized GGUF file to a checkpoint in float32, with transformers' GGUF reader."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from slipway.system.progress import Progress
from slipway.values import Value


class UnpackRequest(Value):
    """A file to convert.

    Attributes:
        file: The GGUF file.
        into: An empty folder for the checkpoint.
        name: The model's public name, which replaces the name in the file.
    """

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
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=name,
        quantization_config=GgufConfig(gguf_file=name, dequantize=True),
        dtype=torch.float32,
    )
    print("reading the tokenizer", flush=True)  # noqa: T201 - a child's way to tell
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    print("writing the checkpoint", flush=True)  # noqa: T201
    model.save_pretrained(request.into)
    tokenizer.save_pretrained(request.into)
    _edit(request.into / "config.json", {"_model_name_or_path": request.name})
    _edit(request.into / "tokenizer_config.json", {"is_local": None, "local_files_only": None})


def reader(progress: Progress) -> Callable[[str], None]:
    """Return what turns the child's lines into progress."""

    def read(line: str) -> None:
        if found := re.search(r"de-quantizing.*?(\d+)%", line):
            progress(int(found[1]) / 200, "dequantizing")
        elif line.startswith("reading the tokenizer"):
            progress(0.5, line)
        elif line.startswith("writing the checkpoint"):
            progress(0.9, line)

    return read


def _edit(path: Path, changes: dict[str, str | None]) -> None:
    """Set fields of a JSON file; those set to None are removed."""
    document = json.loads(path.read_bytes()) | changes
    for name in (name for name, value in changes.items() if value is None):
        del document[name]
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")
