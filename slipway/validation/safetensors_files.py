"""Safetensors: the header of a file has to describe all of it."""

import json
import struct
from pathlib import Path
from typing import Any

from slipway.errors import SourceRefused

_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2}
_BYTES |= {"BF16": 2, "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8}
_LARGEST_HEADER_BYTES = 100_000_000  # the limit of the safetensors library itself

#: What reading JSON of another shape than expected raises, be it nested without end.
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


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
