"""Q8_0, the 8-bit format of llama.cpp: blocks of 32 weights with one scale in float16."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

_Q8_0 = gguf.GGMLQuantizationType.Q8_0


def convert(given: Path, file: Path) -> None:
    """Write a GGUF with every matrix as Q8_0; vectors and metadata stay as they are."""
    read = gguf.GGUFReader(given)
    write = gguf.GGUFWriter(file, read.fields["general.architecture"].contents())
    for name, field in read.fields.items():
        if name != "general.architecture" and not name.startswith("GGUF."):
            kind, *inner = field.types
            write.add_key_value(name, field.contents(), kind, inner[-1] if inner else None)
    for tensor in read.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        if values.ndim > 1:
            write.add_tensor(tensor.name, quantize(values, _Q8_0), raw_dtype=_Q8_0)
        else:
            write.add_tensor(tensor.name, values)
    write.write_header_to_file()
    write.write_kv_data_to_file()
    write.write_tensors_to_file()


def rounded(tensors: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any, int]]:
    """Yield each tensor as Q8_0 stores it.

    Args:
        tensors: Names and values; shape of a matrix (rows, columns), columns a multiple of 32.

    Yields:
        The name, the rounded values in float32, and the bytes that they take.
    """
    for name, values in tensors:
        plain = np.asarray(values, np.float32)
        if plain.ndim > 1:
            packed = quantize(plain, _Q8_0)
            yield name, dequantize(packed, _Q8_0), packed.nbytes
        else:
            yield name, plain, plain.nbytes
