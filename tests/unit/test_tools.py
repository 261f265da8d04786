"""How tools are offered to a model, and how its calls are found, without a model."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from slipway.serving.protocol import Generate, ToolSupport
from slipway.serving.requests import ChatRequest
from slipway.serving.tool_text import ToolText
from slipway.values import ToolCall

PORT = {"type": "object", "properties": {"port": {"type": "string"}}, "required": ["port"]}
DEPTH = {"type": "function", "function": {"name": "depth", "parameters": PORT}}
NOW = {"type": "function", "function": {"name": "now"}}
QUESTION = {"role": "user", "content": "How deep is Oslo?"}
CALL = {"id": "c1", "type": "function", "function": {"name": "depth", "arguments": '{"port": "O"}'}}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "40 m"}
OSLO = ToolCall(name="depth", arguments={"port": "Oslo"})
WRITTEN = '{"name": "depth", "arguments": {"port": "Oslo"}}'


def order(support: ToolSupport | None = None, **fields: Any) -> Generate:
    """Return the order of a request with these fields."""
    request = ChatRequest.model_validate({"model": "tiny", "messages": [QUESTION]} | fields)
    return request.order(default=8, limit=8, support=support)


def place(**fields: Any) -> str:
    """Return the place that a refusal names."""
    with pytest.raises(ValidationError) as refused:
        order(**fields)
    fault = refused.value.errors()[0]
    raised = fault.get("ctx", {}).get("error")
    return ".".join(map(str, [*fault["loc"], *filter(None, [getattr(raised, "param", None)])]))


def test_a_template_without_tools_gets_them_in_the_system_message() -> None:
    """A client's own system message precedes them; calls and results become texts."""
    called = {"role": "assistant", "content": None, "tool_calls": [CALL, CALL | {"id": "c2"}]}
    system = {"role": "developer", "content": "Be brief."}
    given = order(
        tools=[DEPTH], messages=[system, QUESTION, called, RESULT, RESULT | {"tool_call_id": "c2"}]
    )

    first, question, call, results = given.prompts[0]  # type: ignore[misc]
    assert first["content"].startswith("Be brief.\n\nCall a function ")  # type: ignore[index]
    assert json.dumps(DEPTH["function"]) in first["content"]  # type: ignore[index]
    assert question == QUESTION
    assert call["content"].count('{"name": "depth", "arguments": {"port": "O"}}') == 2  # type: ignore[index]
    assert results == {  # type: ignore[comparison-overlap]
        "role": "user",
        "content": "\n".join(["<tool_response>\n40 m\n</tool_response>"] * 2),
    }
    assert given.tools is None


def test_a_template_with_tools_gets_them_as_they_are() -> None:
    """Arguments as an object, and results with the name of their function."""
    called = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    given = order(ToolSupport(form="llama"), tools=[DEPTH], messages=[QUESTION, called, RESULT])

    _, call, result = given.prompts[0]  # type: ignore[misc]
    assert given.tools == (DEPTH,)
    assert call["tool_calls"][0]["function"]["arguments"] == {"port": "O"}  # type: ignore[index]
    assert result == RESULT | {"name": "depth"}  # type: ignore[comparison-overlap]


def test_phi_4_mini_gets_tools_as_a_field_of_the_system_message() -> None:
    """With an empty message if there is none."""
    given = order(ToolSupport(form="phi4", in_system=True), tools=[DEPTH])

    system, question = given.prompts[0]  # type: ignore[misc]
    assert (system["role"], system["content"]) == ("system", "")  # type: ignore[index]
    assert json.loads(system["tools"]) == [DEPTH["function"]]  # type: ignore[index]
    assert (question, given.tools) == (QUESTION, ())


def test_no_tool_is_offered_where_none_may_be_called() -> None:
    """The conversation is as it would be without tools."""
    assert order(tools=[DEPTH], tool_choice="none") == order()


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "now"}}])
@pytest.mark.parametrize("form", ["hermes", "llama", "phi4", "mistral", "json"])
def test_a_call_that_has_to_be_made_is_a_grammar(form: Any, choice: Any) -> None:
    """In the markup of the family; a named function is called once."""
    given = order(ToolSupport(form=form), tools=[DEPTH, NOW], tool_choice=choice)

    assert given.guidance is not None
    kind, grammar = given.guidance
    named = isinstance(choice, dict)
    assert kind == "lark_grammar"
    assert ("<tool_call>" in grammar) == (form == "hermes")
    assert ('\\"parameters\\": ' in grammar) == (form == "llama")
    assert ("<|tool_call|>" in grammar) == (form == "phi4")
    assert ("depth" in grammar, "now" in grammar, "{0,7}" in grammar) == (
        not named,
        True,
        not named,
    )


def test_one_call_at_a_time_is_one_call() -> None:
    """As ``parallel_tool_calls`` says."""
    given = order(tools=[DEPTH], tool_choice="required", parallel_tool_calls=False)

    assert given.guidance is not None
    assert "{0," not in given.guidance[1]


def test_strict_arguments_fit_also_where_the_model_chooses() -> None:
    """It may write text instead; without ``strict`` it writes what it likes."""
    strict = {"type": "function", "function": DEPTH["function"] | {"strict": True}}  # type: ignore[operator]
    given = order(tools=[strict])

    assert given.guidance is not None
    assert given.guidance[1].startswith("start: TEXT | calls\n")
    assert order(tools=[DEPTH]).guidance is None


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"tools": [DEPTH, DEPTH]}, "tools.1.function.name"),
        ({"tools": [DEPTH] * 129}, "tools"),
        ({"tools": [{"type": "x", "function": {"name": "a"}}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
        (
            {
                "tools": [
                    {"type": "function", "function": {"name": "a", "parameters": {"type": "array"}}}
                ]
            },
            "tools.0.function.parameters.type",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {"tools": [NOW], "tool_choice": {"type": "function", "function": {"name": "x"}}},
            "tool_choice.function.name",
        ),
        ({"tools": [NOW], "tool_choice": "some"}, "tool_choice.type"),
        ({"tools": [NOW], "tool_choice": "required", "guided_regex": "a"}, "guided_regex"),
        ({"messages": [{"role": "tool", "content": "5"}]}, "messages.0.tool_call_id"),
        (
            {"messages": [QUESTION | {"tool_calls": [CALL]}]},
            "messages.0.tool_calls",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {"id": "1", "function": {"name": "depth", "arguments": "[1"}}
                        ],
                    }
                ]
            },
            "messages.0.tool_calls.0.function.arguments",
        ),
        (
            {
                "tool_choice": "required",
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "a", "parameters": {"properties": {"b": {"not": {}}}}},
                    }
                ],
            },
            "tools.0.function.parameters.properties.b.not",
        ),
    ],
)
def test_tools_that_cannot_be_used_are_refused_with_their_place(fields: Any, where: str) -> None:
    """Before anything is generated."""
    assert place(**fields) == where


ANSWERS = [
    (f"<tool_call>\n{WRITTEN}\n</tool_call>", "", [OSLO]),
    (f"Let me see.\n<tool_call>{WRITTEN}</tool_call>\n<tool_call>{WRITTEN}", "Let me see.\n", 2),
    (f"<|tool_call|>[{WRITTEN}]<|/tool_call|>", "", [OSLO]),
    (f"functools[{WRITTEN}, {WRITTEN}]", "", 2),
    (f"[TOOL_CALLS] [{WRITTEN}]", "", [OSLO]),
    ('[TOOL_CALLS]depth[ARGS]{"port": "Oslo"}', "", [OSLO]),
    ('[TOOL_CALLS]depth{"port": "Oslo"}', "", [OSLO]),
    (WRITTEN.replace("arguments", "parameters"), "", [OSLO]),
    (f"<|python_tag|>{WRITTEN}; {WRITTEN}", "", 2),
    (f"```json\n{WRITTEN}\n```", "", [OSLO]),
    ("It is 40 m deep.", "It is 40 m deep.", []),
    (f"I would write {WRITTEN}.", f"I would write {WRITTEN}.", []),
    ('{"depth": 40}', '{"depth": 40}', []),
    ("<tool_call>\n{broken", "<tool_call>\n{broken", []),
    (WRITTEN.replace("depth", "other"), WRITTEN.replace("depth", "other"), []),
    ("5 < 6 <tool", "5 < 6 <tool", []),
]


@pytest.mark.parametrize(("answer", "text", "calls"), ANSWERS)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_calls_are_separated_from_text(answer: str, text: str, calls: Any, size: int) -> None:
    """Of every family, in pieces of any size; a call that is none stays text."""
    parts = ToolText(frozenset({"depth"}))
    shown = "".join(
        parts.push(answer[start : start + size]) for start in range(0, len(answer), size)
    )
    rest, found = parts.end()

    assert shown + rest == text
    assert [*found] == ([OSLO] * calls if isinstance(calls, int) else calls)


def test_text_is_shown_as_soon_as_it_is_certain() -> None:
    """Only what may begin a marker waits."""
    parts = ToolText(frozenset({"depth"}))

    assert [parts.push(each) for each in ("Hel", "lo <", "b>", " [TOOL", " x")] == (
        ["Hel", "lo ", "<b>", " ", "[TOOL x"]
    )
