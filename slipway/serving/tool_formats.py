"""How families of models are offered tools, and how they write calls.

A chat template that knows tools renders them, the calls and their results itself (transformers'
documentation, "Tool use"). For any other the tools become part of the system message, in the markup
of Hermes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from slipway.serving.guidance import Guidance
from slipway.serving.json_schemas import enforceable
from slipway.serving.protocol import ToolFormat, ToolSupport
from slipway.serving.tools import Tool

#: Calls of one answer that is constrained: a small model does not stop by itself.
MOST_CALLS = 8
#: What begins a call, whatever the family.
MARKERS = ("<tool_call>", "<|tool_call|>", "functools[", "[TOOL_CALLS]", "<|python_tag|>")

_INSTRUCTIONS = """\
Call a function with JSON in tags, or answer as usual:
<tool_call>
{{"name": "function", "arguments": {{"argument": "value"}}}}
</tool_call>
Functions:
{tools}"""


class Markup(NamedTuple):
    """How calls are written, as parts of a grammar.

    Attributes:
        begin: Before the first call: a text in quotes, or a special token.
        call: Before a function's name, between name and arguments, and behind the arguments.
        between: Between two calls.
        end: Behind the last call.
    """

    begin: str
    call: tuple[str, str, str]
    between: str
    end: str


_JSON_CALL = ('{"name": "', '", "arguments": ', "}")
_MARKUPS: Mapping[ToolFormat, Markup] = {
    "hermes": Markup(
        "", ('<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>"), "\n", ""
    ),
    "llama": Markup("", ('{"name": "', '", "parameters": ', "}"), "; ", ""),
    "phi4": Markup('<|tool_call|> "["', _JSON_CALL, ", ", '"]" <|/tool_call|>'),
    "mistral": Markup('"["', _JSON_CALL, ", ", '"]"'),
    "json": Markup('"["', _JSON_CALL, ", ", '"]"'),
}
#: Text that begins no call, so that a model chooses between both at its first characters.
_TEXT = r"/(?s:\s*([^\s{\[].*)?)/ & ~/(?s:.*)(<tool_call>|functools\[)(?s:.*)/"


def guidance(
    tools: Sequence[tuple[int, Tool]], form: ToolFormat, *, most: int, or_text: bool
) -> Guidance:
    """Return the grammar of calls whose arguments fit their schemas.

    Args:
        tools: Those that may be called, with their numbers in the request.
        form: The family's.
        most: Number of calls.
        or_text: Whether an answer without calls is allowed.

    Raises:
        Unsupported: The schema of a tool's arguments cannot be enforced.
    """
    markup = _MARKUPS[form]
    more = f" ({json.dumps(markup.between)} call){{0,{most - 1}}}" if most > 1 else ""
    names = [f"call_{number}" for number, _ in tools]
    lines = [
        f"start: {'TEXT | ' if or_text else ''}calls",
        f"calls: {markup.begin} call{more} {markup.end}",
        f"call: {' | '.join(names)}",
        *(line for each in tools for line in _rules(*each, markup)),
        *([f"TEXT: {_TEXT}"] if or_text else []),
    ]
    return Guidance("lark_grammar", "\n".join(lines) + "\n", "tools")


def _rules(number: int, tool: Tool, markup: Markup) -> Iterator[str]:
    place = f"tools.{number}.function.parameters"
    schema = enforceable(tool.function.schema_of_arguments, place)
    before, between, behind = markup.call
    head = json.dumps(f"{before}{tool.function.name}{between}")
    yield f"call_{number}: {head} arguments_{number} {json.dumps(behind)}"
    yield f"arguments_{number}: %json {json.dumps(schema)}"


class Rendered(NamedTuple):
    """A conversation for the chat template, and its tools; None for a template that knows none."""

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] | None


def rendered(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[dict[str, Any]],
    support: ToolSupport | None,
) -> Rendered:
    """Return a conversation as the model's chat template shows tools, calls and results.

    Args:
        messages: As a template that knows tools has them.
        tools: What may be called.
        support: The template's; None if it knows no tools.
    """
    if not tools and not any(each.keys() & {"tool_calls", "tool_call_id"} for each in messages):
        return Rendered(tuple(map(dict, messages)), None)
    if support is None:
        return Rendered(tuple(_instructed(messages, tools)), None)
    named = tuple(_with_names(messages))
    if support.in_system and tools:
        return Rendered(_with_system_field(named, tools), ())
    return Rendered(named, tuple(tools))


def _with_names(messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield messages, results with the name of the called function: some templates show it."""
    names: dict[str, str] = {}
    for each in messages:
        names |= {call["id"]: call["function"]["name"] for call in each.get("tool_calls", ())}
        name = names.get(each.get("tool_call_id", ""))
        yield {**each, "name": name} if name else {**each}


def _with_system_field(
    messages: tuple[dict[str, Any], ...], tools: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """Return messages whose first is a system message with the tools in a field, for Phi-4 mini."""
    shown = json.dumps([each["function"] for each in tools], ensure_ascii=False)
    first, *rest = messages
    if first["role"] != "system":
        first, rest = {"role": "system", "content": ""}, [first, *rest]
    return ({**first, "tools": shown}, *rest)


def _instructed(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield messages for a chat template that knows no tools."""
    shown = "\n".join(json.dumps(each["function"], ensure_ascii=False) for each in tools)
    system = _INSTRUCTIONS.format(tools=shown) if tools else ""
    plain = [_plain(each) for each in messages]
    if system and plain[0]["role"] == "system":
        plain[0] |= {"content": f"{plain[0]['content']}\n\n{system}"}
    elif system:
        plain.insert(0, {"role": "system", "content": system})
    yield from _joined(plain)


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with its calls, or its result, in its text."""
    role, content = message["role"], message["content"]
    if role == "tool":
        return {"role": "user", "content": f"<tool_response>\n{content}\n</tool_response>"}
    called = [each["function"] for each in message.get("tool_calls", ())]
    calls = [json.dumps(each, ensure_ascii=False) for each in called]
    written = [f"<tool_call>\n{call}\n</tool_call>" for call in calls]
    return {"role": role, "content": "\n".join(filter(None, [content, *written]))}


def _joined(messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield messages with the results of several calls in one: roles take turns."""
    waiting: dict[str, Any] | None = None
    for each in messages:
        is_result = each["role"] == "user" and each["content"].startswith("<tool_response>")
        if waiting and is_result:
            waiting = {"role": "user", "content": f"{waiting['content']}\n{each['content']}"}
            continue
        if waiting:
            yield waiting
        waiting = dict(each) if is_result else None
        if not is_result:
            yield dict(each)
    if waiting:
        yield waiting
