"""What is in a file has to be what its name says."""

import json
from pathlib import Path
from typing import Any

from slipway.errors import SourceRefused

#: Beginnings of programs and of formats that may hold some. Numbers hardly begin like this.
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
#: Two bytes, with which weights may well begin, but never a tokenizer.
_SHORT = {bytes((0x80, protocol)): "a pickle" for protocol in range(2, 6)}
_SHORT |= {b"MZ": "a Windows program"}
#: The first field of every serialized graph: ``ir_version``, number 1, a varint.
_GRAPH = b"\x08"

_LARGEST_TEXT_BYTES = 50_000_000
_DEEPEST = 64
#: Dictionaries of words, in which a key is a token and not a setting.
_VOCABULARIES = ("tokenizer.json", "vocab.json")

_AGAIN = "fetch it again"


def check(name: str, path: Path) -> None:
    """Check that a file's content is of the kind that its name says.

    Weights are left to those who read their headers, and numbers without a header (``.data``) to
    those who read the graph that refers to them.

    Raises:
        SourceRefused: If it is not.
    """
    with path.open("rb") as file:
        head = file.read(8)
    suffix = path.suffix
    if suffix == ".safetensors":
        return
    signs = _FOREIGN | (_SHORT if suffix == ".model" else {})
    if kind := next((kind for magic, kind in signs.items() if head.startswith(magic)), None):
        raise SourceRefused(name, f"it is {kind} under another name", "remove it")
    if suffix == ".onnx" and not head.startswith(_GRAPH):
        raise SourceRefused(name, "it does not begin like an ONNX graph", _AGAIN)
    if suffix == ".json":
        document(name, path)
    elif suffix not in (".model", ".onnx", ".data"):
        text(name, path)


def text(name: str, path: Path) -> str:
    """Return the text of a file.

    Raises:
        SourceRefused: If it is too large, not UTF-8, or holds a NUL.
    """
    if path.stat().st_size > _LARGEST_TEXT_BYTES:
        rule = f"{path.stat().st_size / 1e6:.0f} MB of text, and {_LARGEST_TEXT_BYTES / 1e6:.0f} "
        raise SourceRefused(name, f"{rule}MB are the limit", "remove it")
    try:
        decoded = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise SourceRefused(name, f"not UTF-8: {error.reason}", "save it as UTF-8") from error
    if "\0" in decoded:
        raise SourceRefused(name, "not a text: it holds a NUL", "save it as UTF-8")
    return decoded


def document(name: str, path: Path) -> Any:
    """Return what a JSON file says, as every reader of JSON understands it.

    Numbers that JSON does not know are refused, and so is a key that occurs twice: of those, one
    reader takes the first and another the last.

    Raises:
        SourceRefused: If it is no such JSON, or nested too deeply.
    """
    pairs = None if path.name in _VOCABULARIES else _once
    try:
        found = json.loads(text(name, path), object_pairs_hook=pairs, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise SourceRefused(name, f"not JSON: {error}", _AGAIN) from error
    if _deeper(found, _DEEPEST):
        raise SourceRefused(name, f"nested deeper than {_DEEPEST} levels", _AGAIN)
    return found


def table(name: str, path: Path) -> dict[str, Any]:
    """Return what a JSON file says that has to hold named values.

    Raises:
        SourceRefused: If it is no such JSON.
    """
    found = document(name, path)
    if not isinstance(found, dict):
        raise SourceRefused(name, "not a JSON object", _AGAIN)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for key, value in pairs:
        if key in named:
            raise ValueError(f"the key {ascii(key)[:80]} occurs twice")
        named[key] = value
    return named


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _deeper(value: Any, limit: int) -> bool:
    """Tell whether a value is nested deeper than ``limit``, level by level."""
    level = [value]
    for _ in range(limit + 1):
        level = [each for outer in level for each in _inner(outer) if isinstance(each, dict | list)]
    return bool(level)


def _inner(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
