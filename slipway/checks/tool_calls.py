"""Finds the calls of tools in an answer, in the markup of any family of models.

A call is JSON with a ``name`` and its ``arguments`` (or ``parameters``, as Llama has it), alone or
in a list, in whatever markup the model has been taught: ``<tool_call>`` of Qwen and Hermes,
``<|tool_call|>`` and ``functools`` of Phi-4 mini, ``[TOOL_CALLS]`` of Mistral, ``<|python_tag|>``
of Llama. Later models of Mistral write ``[TOOL_CALLS]name[ARGS]{...}``.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from slipway.values import ToolCall

_WORD = re.compile(r"<[^<>\s]*>|[^\s<>]+")
_MARKUP = ("<", ">", "[", "]", "|", "`")
_NAMED = re.compile(r"\[TOOL_CALLS\]\s*([\w.-]+)\s*(?:\[ARGS\])?\s*$")
_NEAR = 200  # characters that hold the words before or behind a call


class FoundCall(NamedTuple):
    """A call in an answer.

    Attributes:
        markup: The words before and behind it, if they are markup.
    """

    call: ToolCall
    markup: tuple[str, str]


def calls(text: str) -> Iterator[FoundCall]:
    """Yield the calls of an answer, in their order."""
    decoder, place = json.JSONDecoder(), 0
    while starts := [at for at in (text.find("{", place), text.find("[", place)) if at >= 0]:
        start = min(starts)
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            place = start + 1
            continue
        before, behind = text[max(0, start - _NEAR) : start], text[end : end + _NEAR]
        if isinstance(value, dict) and (named := _NAMED.search(before)):
            value = {"name": named[1], "arguments": value}
        found = [*filter(None, map(_call, value if isinstance(value, list) else [value]))]
        markup = _markup(_WORD.findall(before)[-1:]), _markup(_WORD.findall(behind)[:1])
        yield from (FoundCall(each, markup) for each in found)
        place = end


def _markup(words: list[str]) -> str:
    """Return the word that touches a call, if it is markup such as ``<tool_call>``."""
    word = words[0] if words else ""
    return word if word.startswith(_MARKUP) or word.endswith(_MARKUP) else ""


def _call(value: Any) -> ToolCall | None:
    if not isinstance(value, dict):
        return None
    name, arguments = value.get("name"), value.get("arguments", value.get("parameters"))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return None
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return ToolCall(name=name, arguments=arguments)
