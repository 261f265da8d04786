"""Markdown that shows foreign text as it is, and none of it as markup.

It uses no HTML, since MLflow shows that as text. Every paragraph is one line, since MLflow's
descriptions turn each line's end into a break.
"""

import html
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

CELL_CHARACTERS = 160

_MARKUP = re.compile(r"([\\`*_~\[|])")
# Bare addresses and @names become links; a character of no width inside them prevents that.
_LINK = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)
_WORD_JOINER = "\u2060"
# Control characters, and those that reverse the direction of the text after them.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ADDRESS_CHARACTERS = "/:?#@!$&'*+,;=%~"


def plain(text: str, limit: int = CELL_CHARACTERS) -> str:
    """Return ``text`` as one line of Markdown that reads like the text itself.

    Args:
        text: Anything, such as a model's answer.
        limit: Characters that are shown; the rest becomes an ellipsis.

    Returns:
        Markdown for a table's cell, or for the middle of a line.
    """
    line = " ".join(_UNSEEN.sub(" ", text).split())
    shown = line if len(line) <= limit else line[: limit - 1] + "…"
    escaped = _MARKUP.sub(r"\\\1", html.escape(shown, quote=False))
    return _LINK.sub(_WORD_JOINER, escaped)


def address(url: str) -> str:
    """Return ``url`` with everything quoted that could end a link or a table's cell."""
    return quote(url, safe=_ADDRESS_CHARACTERS)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out cells, which are Markdown already, as a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(items: Iterable[str]) -> str:
    """Lay out lines of Markdown as a list."""
    return "\n".join(f"- {item}" for item in items)
