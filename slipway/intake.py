"""What is let in: checks over a checkpoint folder, before anything loads it. Pure but for reading.

Formats are an allow-list, and nothing that a source brings is ever executed: no pickle, no Python,
no ``auto_map``.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.errors import ArchitectureUnsupported, SourceRefused

#: Endings of files that may be part of a checkpoint or an artifact.
SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".md", ".model", ".onnx", ".data")
#: Files without such an ending that may be part of one.
PREFIXES = ("LICENSE", "LICENCE", "NOTICE", "README")

#: Architectures whose ONNX build was compared with transformers, logit by logit.
SUPPORTED = (
    "GemmaForCausalLM",
    "GraniteForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Phi3ForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "SmolLM3ForCausalLM",
)

_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2}
_BYTES |= {"BF16": 2, "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8}
_LARGEST_HEADER_BYTES = 100_000_000  # the limit of the safetensors library itself

#: What reading JSON of another shape than expected raises, be it nested without end.
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Facts:
    """What a checkpoint says of itself.

    Attributes:
        architecture: First entry of ``architectures``.
        parameters: Numbers in its tensors.
    """

    architecture: str
    parameters: int


def admitted(path: str) -> bool:
    """Tell whether a file of this name may be part of a checkpoint or an artifact."""
    name = path.rsplit("/", 1)[-1]
    return name.endswith(SUFFIXES) or name.startswith(PREFIXES)


def inspect(folder: Path) -> Facts:
    """Check every file of a checkpoint in transformers' layout.

    Raises:
        SourceRefused: Naming the file and the rule that it breaks.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    for path in paths:
        _check_name(path.relative_to(folder).as_posix(), path)
    config = _config(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise SourceRefused(name, "a checkpoint needs it, and it is missing", "add the file")
    tensors = [path for path in paths if path.suffix == ".safetensors"]
    if not tensors:
        raise SourceRefused("*.safetensors", "no weights are there", "save them as safetensors")
    architectures = config.get("architectures") or ["not named"]
    return Facts(str(architectures[0]), sum(parameters(path) for path in tensors))


def require_supported(architecture: str) -> None:
    """Check that the builder can convert ``architecture``.

    Raises:
        ArchitectureUnsupported: With those that it can.
    """
    if architecture not in SUPPORTED:
        raise ArchitectureUnsupported(architecture, SUPPORTED)


def parameters(path: Path) -> int:
    """Return how many numbers a safetensors file holds, having checked its header against its size.

    The layout is that of https://github.com/huggingface/safetensors#format: the header's length as
    eight bytes, the header as JSON, then the tensors without a gap.

    Raises:
        SourceRefused: If the file is cut short or its header does not describe it.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else size_bytes  # noqa: PLR2004
        if length > min(size_bytes - 8, _LARGEST_HEADER_BYTES):
            raise _refused(path, "the header is longer than the file")
        try:
            tensors: dict[str, Any] = json.loads(file.read(length))
            tensors.pop("__metadata__", None)
            spans = sorted(_span(tensor) for tensor in tensors.values())
        except _MALFORMED as error:
            raise _refused(path, "the header is not a list of tensors") from error
    end = 0
    for start, stop, needed_bytes in spans:
        if start != end or stop - start != needed_bytes:
            raise _refused(path, "its tensors overlap or leave gaps")
        end = stop
    if 8 + length + end != size_bytes:
        raise _refused(path, f"it has {size_bytes} bytes and its header says {8 + length + end}")
    return sum(_elements(tensor) for tensor in tensors.values())


def _elements(tensor: dict[str, Any]) -> int:
    count = 1
    for length in tensor["shape"]:
        count *= int(length)
    return count


def _span(tensor: dict[str, Any]) -> tuple[int, int, int]:
    """Return where a tensor begins and ends, and how many bytes its shape and type need."""
    start, stop = tensor["data_offsets"]
    return int(start), int(stop), _elements(tensor) * _BYTES[tensor["dtype"]]


def _refused(path: Path, rule: str) -> SourceRefused:
    return SourceRefused(path.name, f"not a whole safetensors file: {rule}", "fetch it again")


def _check_name(name: str, path: Path) -> None:
    if path.is_symlink():
        raise SourceRefused(name, "links are not let in", "put the file itself there")
    if path.suffix == ".py":
        raise SourceRefused(name, "code is never run or shipped", "remove it, and any auto_map")
    if not admitted(name):
        rule = f"only {', '.join(SUFFIXES)} and licence texts are let in"
        raise SourceRefused(name, rule, "remove it, or save the weights as safetensors")


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: Any = json.loads((folder / "config.json").read_bytes())
    except FileNotFoundError as error:
        raise SourceRefused("config.json", "it is missing", "add the file") from error
    except (ValueError, RecursionError) as error:
        raise SourceRefused("config.json", f"not JSON: {error}", "fetch it again") from error
    if not isinstance(config, dict):
        raise SourceRefused("config.json", "not a JSON object", "fetch it again")
    if "auto_map" in config:
        rule = "auto_map asks to run code of the source"
        raise SourceRefused("config.json", rule, "use a model that transformers itself knows")
    return config
