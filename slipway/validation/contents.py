"""The content of a file has to be of the kind that its name says."""

import json
import re
from pathlib import Path
from typing import Any

from slipway.errors import SourceRefused, TextRefused
from slipway.validation.texts import require_text

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

#: Largest files by name, else by suffix, in megabytes; about twice the largest published ones:
#: Gemma 3 has a tokenizer.json of 33 MB, Mistral a tekken.json of 19, Kimi K2 an index of 9 MB.
_LARGEST_MB = {
    "genai_config.json": 0.5,
    "merges.txt": 20,
    "model.safetensors.index.json": 20,
    "tekken.json": 40,
    "tokenizer.json": 70,
    "vocab.json": 20,
    "vocab.txt": 20,
    ".jinja": 0.5,
    ".json": 5,
    ".model": 70,
    ".onnx": 2000,
}
_LARGEST_TEXT_MB = 5
_UNLIMITED = (".safetensors", ".data")  # read in parts, and never as a whole

#: Most values of a JSON file; each takes 50 to 100 bytes of memory. Gemma 3's tokenizer has two
#: million. They are counted as the characters that separate or open them.
_MOST_VALUES = 6_000_000
_MAX_DEPTH = 64
#: Dictionaries of words, in which a key is a token and not a setting.
VOCABULARIES = ("tokenizer.json", "vocab.json", "added_tokens.json", "tekken.json")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")

_FETCH_AGAIN = "fetch it again"


def check(name: str, path: Path) -> None:
    """Check that a file's content is of the kind that its name says.

    Weights are checked by ``weights``, and numbers without a header (``.data``) together with the
    graph that refers to them.

    Raises:
        SourceRefused: If it is not.
    """
    require_size(name, path.stat().st_size)
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
    if suffix not in (".json", ".model", ".onnx", ".data"):
        read_text(name, path)


def require_size(name: str, size_bytes: int) -> None:
    """Check a file's size before it is downloaded or read.

    Raises:
        SourceRefused: If a file of that name is never so large.
    """
    last, dot, suffix = name.rpartition("/")[2].rpartition(".")
    if f".{suffix}" in _UNLIMITED:
        return
    largest_mb = _LARGEST_MB.get(f"{last}{dot}{suffix}") or _LARGEST_MB.get(
        f".{suffix}", _LARGEST_TEXT_MB
    )
    if size_bytes > largest_mb * 1e6:
        rule = f"{size_bytes / 1e6:.1f} MB, and {largest_mb:g} MB are the limit for such a file"
        raise SourceRefused(name, rule, "remove it, or use another revision")


def read_text(name: str, path: Path) -> str:
    """Return the text of a file.

    Raises:
        SourceRefused: If it is too large, not UTF-8, or contains a NUL.
    """
    require_size(name, path.stat().st_size)
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
        SourceRefused: If it is no such JSON, has too many values, or is nested too deeply.
    """
    text = read_text(name, path)
    if (count := sum(map(text.count, ",[{"))) > _MOST_VALUES:
        rule = f"{count:,} values, and {_MOST_VALUES:,} are the limit"
        raise SourceRefused(name, rule, "use another revision")
    pairs = None if path.name in VOCABULARIES else unique_keys
    try:
        found = json.loads(text, object_pairs_hook=pairs, parse_constant=_refuse)
        if _HALF.search(text):
            require_text(name, found)
    except TextRefused as error:
        rule = "it has half a character (a lone surrogate)"
        raise SourceRefused(name, rule, "save it as UTF-8") from error
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
    return as_object(name, read_json(name, path))


def as_object(name: str, content: Any) -> dict[str, Any]:
    """Return the content of a JSON file if it is an object.

    Raises:
        SourceRefused: If it is none.
    """
    if not isinstance(content, dict):
        raise SourceRefused(name, "not a JSON object", _FETCH_AGAIN)
    return content


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; raises ``ValueError`` if a key occurs twice."""
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
