"""Right answers to the questions of every capability, as a model that has both would give them."""

import json
from collections.abc import Callable
from typing import Any

from slipway import catalogue
from slipway.checks.structured_files import request_of
from slipway.settings import PROJECT
from slipway.values import StructuredAnswer, StructuredPrompt

Change = Callable[[StructuredPrompt, str], str]


def questions() -> tuple[StructuredPrompt, ...]:
    """Return the questions that the project comes with."""
    entry = catalogue.find(PROJECT / "catalogue.toml", "smollm2-135m")
    able = entry.model_copy(update={"capabilities": ("json", "tools")})
    return request_of(able, PROJECT / "expectations").prompts


def as_it_is(_prompt: StructuredPrompt, text: str) -> str:
    """Change nothing."""
    return text


def answers(change: Change = as_it_is) -> tuple[StructuredAnswer, ...]:
    """Return a right answer to every question, changed."""
    return tuple(
        StructuredAnswer(prompt_id=each.id, text=change(each, _right(each))) for each in questions()
    )


def without_last_brace(prompt: StructuredPrompt, text: str) -> str:
    """Cut a document before its end."""
    return text if prompt.tools else text[:-1]


def in_other_markup(_prompt: StructuredPrompt, text: str) -> str:
    """Call tools in markup that no parser of this model's calls knows."""
    return text.replace("<tool_call>", "<function=call>").replace("</tool_call>", "</function>")


def _right(prompt: StructuredPrompt) -> str:
    if not prompt.tools:
        return json.dumps(_example(prompt.json_schema or {}), ensure_ascii=False)
    if prompt.call is None:
        return "The sea is salty because rivers carry salt into it."
    return f"<tool_call>\n{prompt.call.model_dump_json()}\n</tool_call>"


def _example(schema: dict[str, Any]) -> Any:
    """Return a document that fits one of the schemas that the project comes with."""
    if "enum" in schema:
        return schema["enum"][0]
    examples = {"string": "Ada", "integer": 5, "number": 2.5, "boolean": True, "null": None}
    match schema["type"]:
        case "object":
            return {name: _example(each) for name, each in schema["properties"].items()}
        case "array":
            return [_example(schema["items"])] * schema["minItems"] if "items" in schema else []
        case kind:
            return examples[kind]
