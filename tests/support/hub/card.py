"""The metadata at the head of a model card, as far as a model's page on the Hub shows it."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

CARD = "README.md"
HEADER = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
TOP_LEVEL = re.compile(r"([\w-]+):(?:[ \t]+(.*))?")
LIST_ITEM = re.compile(r"[ \t]*-[ \t]+(.*)")
COMMENT = re.compile(r"(^|[ \t])#.*")
FORMATS = {".gguf": "gguf", ".onnx": "onnx", ".safetensors": "safetensors"}
SHOWN_AS_TAG = ("library_name", "pipeline_tag")


def read_card(text: str) -> dict[str, Any]:
    """Return the flat part of a model card's YAML header: scalars, and lists of scalars.

    Nested values (``model-index``, block texts) are left out: the standard library reads no YAML,
    and a model's license, tags and languages are flat.

    Args:
        text: The whole of README.md.

    Source: https://huggingface.co/docs/hub/model-cards#model-card-metadata
    """
    header = HEADER.match(text)
    card: dict[str, Any] = {}
    key = ""
    for line in header[1].splitlines() if header else ():
        if top := TOP_LEVEL.fullmatch(line):
            key = top[1]
            card[key] = _value(top[2] or "")
        elif item := LIST_ITEM.fullmatch(line):
            _append(card, key, item[1])
        elif COMMENT.sub("", line).strip():
            card.pop(key, None)
    return card


def tags_of(card: Mapping[str, Any], paths: Iterable[str]) -> list[str]:
    """Return the tags that the Hub derives from a card and from the formats of a model's files."""
    own = card.get("tags")
    formats = {FORMATS.get(PurePosixPath(path).suffix) for path in paths} - {None}
    named = [card[key] for key in SHOWN_AS_TAG if isinstance(card.get(key), str)]
    license = [f"license:{card['license']}"] if "license" in card else []
    tags = [
        *sorted(filter(None, formats)),
        *named,
        *(own if isinstance(own, list) else ()),
        *license,
    ]
    return list(dict.fromkeys(tags))


def _value(text: str) -> Any:
    text = COMMENT.sub("", text).strip()
    if text.startswith("[") and text.endswith("]"):
        return [_scalar(item) for item in text[1:-1].split(",") if item.strip()]
    return _scalar(text) if text else []


def _append(card: dict[str, Any], key: str, item: str) -> None:
    if not isinstance(card.get(key), list):
        return
    if TOP_LEVEL.fullmatch(item):
        del card[key]
    else:
        card[key].append(_scalar(COMMENT.sub("", item)))


def _scalar(text: str) -> str | bool:
    text = text.strip()
    if text in {"true", "false"}:
        return text == "true"
    return text.strip("'\"")
