"""Safetensors files: their headers describe them, and an index names all of them and no other.

transformers loads the files that ``model.safetensors.index.json`` names, wherever they are. What
was counted here has to be what is loaded there. See https://huggingface.co/docs/safetensors.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway.errors import SourceRefused
from slipway.validation import contents, names

SUFFIX = ".safetensors"
SINGLE, INDEX = f"model{SUFFIX}", f"model{SUFFIX}.index.json"

#: A header has 100 to 200 bytes a tensor; the largest published files have some thousand tensors.
_LARGEST_HEADER_BYTES = 16_000_000
_MOST_DIMENSIONS = 8
_LARGEST_DIMENSION = 1 << 40

_BROKEN = "not a whole safetensors file"
_FETCH_AGAIN = "fetch it again"


def check(files: Mapping[str, Path]) -> dict[str, int]:
    """Check all weights of a checkpoint against their headers and their index.

    Args:
        files: All files of the source, by relative path.

    Returns:
        The count of numbers in each tensor, by its name.

    Raises:
        SourceRefused: With the file and the rule that it breaks.
    """
    index = contents.read_object(INDEX, files[INDEX]) if INDEX in files else None
    check_names(files, index)
    shapes = {name: read_shapes(name, path) for name, path in _shards(files).items()}
    if index is not None:
        _check_tensors(index["weight_map"], shapes)
    return {name: math.prod(shape) for shard in shapes.values() for name, shape in shard.items()}


def check_names(files: Mapping[str, Path], index: Mapping[str, Any] | None) -> None:
    """Check that the weights of a checkpoint are complete, before any of them is here.

    Args:
        files: All files of the source, by relative path.
        index: The content of its index; None if it has none.

    Raises:
        SourceRefused: With the file that is missing, or that readers would not take.
    """
    shards = _shards(files)
    if not shards:
        raise SourceRefused(f"*{SUFFIX}", "there are no weights", "save them as safetensors")
    for name in files:
        if name.endswith(f"{SUFFIX}.index.json") and name != INDEX:
            raise SourceRefused(name, f"only {INDEX} may name weights", "remove it")
    if index is None:
        for name in shards.keys() - {SINGLE}:
            raise SourceRefused(name, f"no {INDEX} names it", f"remove it, or call it {SINGLE}")
        return
    if SINGLE in shards and len(shards) > 1:
        rule = "readers take either this file or those that the index names"
        raise SourceRefused(SINGLE, rule, "remove it, or the others")
    named = index.get("weight_map")
    if not isinstance(named, dict) or not named:
        raise SourceRefused(INDEX, "it has no weight_map", _FETCH_AGAIN)
    for tensor, shard in named.items():
        if not isinstance(shard, str) or shard not in shards:
            rule = f"{ascii(tensor)[:80]} is in {ascii(shard)[:80]}, which is no file of its folder"
            raise SourceRefused(INDEX, rule, "name files that are beside it")


def _shards(files: Mapping[str, Path]) -> dict[str, Path]:
    return {name: path for name, path in files.items() if name.endswith(SUFFIX)}


def read_shapes(name: str, path: Path) -> dict[str, list[int]]:
    """Return the shape of each tensor of a file by its name.

    The header's size and numbers are bounded before the safetensors library reads it. That compares
    it with the file: tensors have to fill the file without gaps or overlaps. None is read.

    Raises:
        SourceRefused: If the file is cut short, or its header does not describe it.
    """
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if header_bytes > _LARGEST_HEADER_BYTES:
            limit = f"a header of {header_bytes:,} bytes, and {_LARGEST_HEADER_BYTES:,} are allowed"
            raise SourceRefused(name, f"{_BROKEN}: {limit}", "save the weights in more files")
        header = file.read(header_bytes)
    try:
        with safe_open(path, framework="numpy"):
            tensors = json.loads(header, object_pairs_hook=contents.unique_keys)
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).removeprefix("Error while deserializing header: ")[:120]
        raise SourceRefused(name, f"{_BROKEN}: {names.shown(reason)}", _FETCH_AGAIN) from error
    tensors.pop("__metadata__", None)
    return {tensor: _shape(name, tensor, fields["shape"]) for tensor, fields in tensors.items()}


def _shape(name: str, tensor: str, shape: list[int]) -> list[int]:
    if len(shape) > _MOST_DIMENSIONS or any(each > _LARGEST_DIMENSION for each in shape):
        rule = f"{_BROKEN}: {ascii(tensor)[:80]} has an impossible shape"
        raise SourceRefused(name, rule, _FETCH_AGAIN)
    return shape


def _check_tensors(named: Mapping[str, str], shapes: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that an index and the headers name the same tensors in the same files."""
    for tensor, shard in named.items():
        if tensor not in shapes[shard]:
            rule = f"{ascii(tensor)[:80]} is not in {shard}"
            raise SourceRefused(INDEX, rule, _FETCH_AGAIN)
    for shard, tensors in shapes.items():
        for tensor in tensors:
            if named.get(tensor) != shard:
                rule = f"it does not name {ascii(tensor)[:80]} of {shard}"
                raise SourceRefused(INDEX, rule, "remove the file, or name it")
