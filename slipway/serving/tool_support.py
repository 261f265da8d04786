"""Whether a model's chat template knows tools, and how its family writes calls.

The template is asked: it renders a conversation with a tool, its call and its result. A program of
which only the text is read may mention tools that it never renders.
"""

import json
from collections.abc import Mapping
from typing import Any

from slipway.serving.protocol import ToolFormat, ToolSupport

_NAME = "slipway_probe"
_TOOL = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "Probe.",
        "parameters": {"type": "object", "properties": {"port": {"type": "string"}}},
    },
}
_QUESTION = {"role": "user", "content": "Which port?"}
_SYSTEM = {"role": "system", "content": "Be brief."}
_CALL = {"id": "probe0001", "type": "function", "function": {"name": _NAME, "arguments": {}}}
_CALLED = (
    _QUESTION,
    {"role": "assistant", "content": "", "tool_calls": [_CALL]},
    {"role": "tool", "content": "Oslo", "tool_call_id": _CALL["id"], "name": _NAME},
)
#: By markup in what is rendered.
_FAMILIES: Mapping[str, ToolFormat] = {
    "<tool_call>": "hermes",
    "<|tool|>": "phi4",
    "[AVAILABLE_TOOLS]": "mistral",
    "[TOOL_CALLS]": "mistral",
    "<|python_tag|>": "llama",
    f'"name": "{_NAME}", "parameters"': "llama",
}


def of(model: Any) -> ToolSupport | None:
    """Return what a wrapper's chat template does with tools; None if it shows none of them."""
    if _NAME in (shown := _rendered(model, [_QUESTION], [_TOOL])):
        return ToolSupport(form=_family(shown + _rendered(model, [*_CALLED], [_TOOL])))
    system = _SYSTEM | {"tools": json.dumps([_TOOL])}
    if _NAME in (shown := _rendered(model, [system, _QUESTION], [])):
        return ToolSupport(form=_family(shown), in_system=True)
    return None


def _rendered(model: Any, messages: list[Any], tools: list[Any]) -> str:
    """Return what the template makes of it; nothing if it declines, or the wrapper is older."""
    try:
        return str(model.render(messages, tools=tools))
    except Exception:  # noqa: BLE001 - a template may raise anything
        return ""


def _family(shown: str) -> ToolFormat:
    return next((form for markup, form in _FAMILIES.items() if markup in shown), "json")
