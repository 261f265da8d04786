"""Markdown in which foreign text is shown as it is, and none of it becomes markup.

The output has no HTML, since MLflow shows HTML as text. Every paragraph is one line, since MLflow
turns each line's end in a description into a break.
"""

import html
import re
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from slipway.validation.texts import UNSEEN

CELL_CHARACTERS, LINE_CHARACTERS = 160, 200

_MARKUP = re.compile(r"([\\`*_~\[|])")
# Bare addresses and @names become links; a character of no width inside them prevents that.
_LINK = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)
_WORD_JOINER = "\u2060"
_URL_CHARACTERS = "/:?#@!$&'*+,;=%~"


class Markdown(str):
    """Text that is Markdown already; any other text is escaped when it is rendered."""

    __slots__ = ()


def escape(value: object, limit: int = CELL_CHARACTERS) -> Markdown:
    """Return a text as one line of Markdown that reads like the text itself.

    Args:
        value: Any text, such as a model's answer; ``Markdown`` is returned as it is.
        limit: Characters that are shown; the rest becomes an ellipsis.
    """
    if isinstance(value, Markdown):
        return value
    line = " ".join(UNSEEN.sub(" ", str(value)).split())
    shown = line if len(line) <= limit else line[: limit - 1] + "…"
    escaped = _MARKUP.sub(r"\\\1", html.escape(shown, quote=False))
    return Markdown(_LINK.sub(_WORD_JOINER, escaped))


def url(address: str) -> Markdown:
    """Return an address with everything quoted that could end a link or a table's cell."""
    return Markdown(quote(address, safe=_URL_CHARACTERS))


def code(text: str) -> Markdown:
    """Return a text as a code span, which knows no escapes: what could end it is left out."""
    return Markdown(f"`{' '.join(re.sub(r'[`|]', ' ', UNSEEN.sub(' ', text)).split())}`")


def environment() -> Environment:
    """Return what renders this package's templates: every value is escaped by default."""
    made = Environment(
        autoescape=False,  # noqa: S701 - that is for HTML; ``finalize`` escapes for Markdown
        finalize=escape,
        keep_trailing_newline=True,
        loader=PackageLoader("slipway", "report"),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {"code": code, "markdown": Markdown, "url": url}
    return made
