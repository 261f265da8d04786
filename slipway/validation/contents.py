"""The content of a file has to be of the kind that its name says."""

import json
import math
from pathlib import Path
from typing import Any

from slipway.errors import SourceRefused

#: First bytes of programs and of formats that may contain one. Weights hardly begin like this.
_FOREIGN = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"\x7fELF": "a Linux program",
    b"MZ\x90\x00": "a Windows program",
    b"\xfe\xed\xfa\xce": "a macOS program",
    b"\xfe\xed\xfa\xcf": "a macOS program",
    b"\xce\xfa\xed\xfe": "a macOS program",
    b"\xcf\xfa\xed\xfe": "a macOS program",
    b"\xca\xfe\xba\xbe": "a macOS program",
    b"\x80\x02}q": "a pickle",
    b"\x80\x02\x8a\n": "a pickle",
    b"\x80\x03}q": "a pickle",
    b"\x80\x04\x95": "a pickle",
    b"\x80\x05\x95": "a pickle",
}
#: Two bytes with which weights may begin, but never a tokenizer.
_FOREIGN_TOKENIZERS = {bytes((0x80, protocol)): "a pickle" for protocol in range(2, 6)}
_FOREIGN_TOKENIZERS |= {b"MZ": "a Windows program"}
#: The first field of every serialized graph: ``ir_version``, number 1, a varint.
_GRAPH = b"\x08"

_LARGEST_TEXT_BYTES = 50_000_000
_MAX_DEPTH = 64
#: Dictionaries of words, in which a key is a token and not a setting.
_VOCABULARIES = ("tokenizer.json", "vocab.json")

_FETCH_AGAIN = "fetch it again"


def check(name: str, path: Path) -> None:
    """Check that a file's content is of the kind that its name says.

    Safetensors files are checked by :func:`count_parameters`, and numbers without a header
    (``.data``) together with the graph that refers to them.

    Raises:
        SourceRefused: If it is not.
    """
    suffix = path.suffix
    if suffix == ".safetensors":
        return
    with path.open("rb") as file:
        head = file.read(8)
    signatures = _FOREIGN | (_FOREIGN_TOKENIZERS if suffix == ".model" else {})
    kind = next((kind for magic, kind in signatures.items() if head.startswith(magic)), None)
    if kind:
        raise SourceRefused(name, f"it is {kind} under another name", "remove it")
    if suffix == ".onnx" and not head.startswith(_GRAPH):
        raise SourceRefused(name, "it does not begin like an ONNX graph", _FETCH_AGAIN)
    if suffix == ".json":
        read_json(name, path)
    elif suffix not in (".model", ".onnx", ".data"):
        read_text(name, path)


def count_parameters(path: Path) -> int:
    """Return how many numbers a safetensors file has.

    The safetensors library compares the header with the file: its tensors have to fill the file
    without gaps or overlaps. No tensor is read.

    Raises:
        SourceRefused: If the file is cut short, or its header does not describe it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).removeprefix("Error while deserializing header: ")[:120]
        rule = f"not a whole safetensors file: {reason if reason.isprintable() else ascii(reason)}"
        raise SourceRefused(path.name, rule, _FETCH_AGAIN) from error


def read_text(name: str, path: Path) -> str:
    """Return the text of a file.

    Raises:
        SourceRefused: If it is too large, not UTF-8, or contains a NUL.
    """
    size_mb = path.stat().st_size / 1e6
    if size_mb > _LARGEST_TEXT_BYTES / 1e6:
        limit = f"{_LARGEST_TEXT_BYTES / 1e6:.0f} MB are the limit"
        raise SourceRefused(name, f"{size_mb:.0f} MB of text, and {limit}", "remove it")
    try:
        decoded = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise SourceRefused(name, f"not UTF-8: {error.reason}", "save it as UTF-8") from error
    if "\0" in decoded:
        raise SourceRefused(name, "not a text: it contains a NUL", "save it as UTF-8")
    return decoded


def read_json(name: str, path: Path) -> Any:
    """Return the content of a JSON file, as every reader of JSON understands it.

    Numbers that JSON does not have are refused, and so is a key that occurs twice: of those, one
    reader takes the first and another the last.

    Raises:
        SourceRefused: If it is no such JSON, or nested too deeply.
    """
    pairs = None if path.name in _VOCABULARIES else _unique_keys
    try:
        found = json.loads(read_text(name, path), object_pairs_hook=pairs, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise SourceRefused(name, f"not JSON: {error}", _FETCH_AGAIN) from error
    if _is_deeper(found, _MAX_DEPTH):
        raise SourceRefused(name, f"nested deeper than {_MAX_DEPTH} levels", _FETCH_AGAIN)
    return found


def read_object(name: str, path: Path) -> dict[str, Any]:
    """Return the content of a JSON file that has to be an object.

    Raises:
        SourceRefused: If it is no such JSON.
    """
    found = read_json(name, path)
    if not isinstance(found, dict):
        raise SourceRefused(name, "not a JSON object", _FETCH_AGAIN)
    return found


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for key, value in pairs:
        if key in named:
            raise ValueError(f"the key {ascii(key)[:80]} occurs twice")
        named[key] = value
    return named


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")


def _is_deeper(value: Any, limit: int) -> bool:
    """Return whether a value is nested deeper than ``limit``; level by level, not recursively."""
    level = [value]
    for _ in range(limit + 1):
        inner = [each for outer in level for each in _values(outer)]
        level = [each for each in inner if isinstance(each, dict | list)]
    return bool(level)


def _values(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
