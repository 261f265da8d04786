"""JSON that clients send, in a body or in a text of it, within what later layers endure."""

import json
from collections.abc import Callable
from typing import Any

from slipway.errors import TextRefused
from slipway.serving.api_errors import Unsupported
from slipway.validation.texts import require_text

VALUES = 10_000  # at any depth: of 300,000 wrong ones pydantic makes errors for 25 s
DEPTH = 200  # objects and lists within each other; pydantic cannot write 255 to the engine


def parsed(text: str, place: str) -> Any:
    """Return the document that a text of the request holds.

    Args:
        text: JSON.
        place: The field of the request that has it.

    Raises:
        Unsupported: With ``place``, or with the place within the document.
    """
    return _usable(json.loads, text, place)


def first(text: str, place: str) -> Any:
    """Return the document with which a text begins, whatever follows; else as ``parsed``."""
    return _usable(lambda text: json.JSONDecoder().raw_decode(text)[0], text, place)


def require_usable(document: Any, place: str | None = None) -> None:
    """Refuse a document that is too large or too deep, or has half a character.

    Args:
        document: Of the client.
        place: The field of the request that has it; None for the whole body.

    Raises:
        Unsupported: With the place.
    """
    _require_small(document, place)
    try:
        require_text("document", document)
    except TextRefused as error:
        within = error.place.partition(".")[2]
        param = ".".join(each for each in (place, within) if each) or None
        text = f"has half a character (a lone surrogate) at {error.position}; send whole ones"
        raise Unsupported(text, param, "invalid_value") from error


def _usable(read: Callable[[str], Any], text: str, place: str) -> Any:
    try:
        document = read(text)
    except (ValueError, RecursionError) as error:
        raise Unsupported("is no JSON", place, "invalid_value") from error
    require_usable(document, place)
    return document


def _require_small(document: Any, place: str | None) -> None:
    level, count = [document], 0
    for _ in range(DEPTH):
        level = [item for each in level for item in _items(each)]
        count += len(level)
        if count > VALUES:
            raise Unsupported(f"has more than {VALUES} values; send fewer", place, "invalid_value")
    if level:
        fault = f"has more than {DEPTH} objects and lists within each other; send fewer"
        raise Unsupported(fault, place, "invalid_value")


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.values()]
    return value if isinstance(value, list) else []
