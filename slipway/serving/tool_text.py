"""Separates the calls of tools from the text of an answer while it is generated."""

import json
import uuid
from typing import Any

from slipway.checks.tool_calls import calls
from slipway.serving.tool_formats import MARKERS
from slipway.values import ToolCall

_ID_CHARACTERS = 9  # letters and digits: chat templates of Mistral take no other identifiers


class ToolText:
    """One answer to a request with tools.

    From the first marker of a call on, and if the answer begins with JSON, the text is held until
    the end: only then it is known whether it is a call. Text in which there is none is shown.

    Args:
        names: Of the tools; the call of any other is text.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._held = ""
        self._begun = False  # something was shown
        self._holding = False  # until the end

    def push(self, piece: str) -> str:
        """Take the next piece; return the text that is certain now."""
        self._held += piece
        if self._holding:
            return ""
        if not self._begun and self._held.lstrip().startswith(("{", "[", "`")):
            self._holding = True
            return ""
        if not self._begun and not self._held.strip():
            return ""
        found = [at for marker in MARKERS if (at := self._held.find(marker)) >= 0]
        self._holding = bool(found)
        shown = min(found, default=len(self._held) - self._beginnings())
        text, self._held = self._held[:shown], self._held[shown:]
        self._begun = self._begun or bool(text)
        return text

    def end(self) -> tuple[str, tuple[ToolCall, ...]]:
        """Return the rest of the text and the calls."""
        found = tuple(each.call for each in calls(self._held))
        if found and all(each.name in self._names for each in found):
            return "", found
        return self._held, ()

    def _beginnings(self) -> int:
        """Return how many characters at the end may begin a marker."""
        longest = max(map(len, MARKERS)) - 1
        ends = (self._held[-size:] for size in range(min(longest, len(self._held)), 0, -1))
        return next((len(end) for end in ends if any(m.startswith(end) for m in MARKERS)), 0)


def as_tool_call(call: ToolCall) -> dict[str, Any]:
    """Return a call as OpenAI's API has it, with a new identifier."""
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    function = {"name": call.name, "arguments": arguments}
    return {"id": uuid.uuid4().hex[:_ID_CHARACTERS], "type": "function", "function": function}
