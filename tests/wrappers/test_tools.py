"""Chat templates of families are asked what they do with tools."""

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from slipway.serving import tool_support
from slipway.serving.protocol import ToolSupport

_TURNS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}"
_ENDS = "{% endfor %}"
#: What public templates do with tools, in few words.
TEMPLATES = {
    "hermes": (
        "{% if tools %}<tools>{% for t in tools %}{{ t | tojson }}{% endfor %}</tools>"
        "Answer with <tool_call>{...}</tool_call>{% endif %}" + _TURNS + _ENDS
    ),
    "llama": (
        "{% if tools is not none %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}"
        + _TURNS
        + "{% if m.tool_calls is defined %}{% set c = m.tool_calls[0].function %}"
        + """{{ '{"name": "' + c.name + '", "parameters": ' }}{{ c.arguments | tojson }}}"""
        + "{% endif %}"
        + _ENDS
    ),
    "mistral": (
        "{% if tools %}[AVAILABLE_TOOLS] {{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}"
        + _TURNS
        + "{% if m.role == 'tool' %}{% if m.tool_call_id | length != 9 %}"
        + "{{ raise_exception('identifiers have 9 characters') }}{% endif %}{% endif %}"
        + _ENDS
    ),
    "json": "{% if tools %}{{ tools | tojson }}{% endif %}" + _TURNS + _ENDS,
}
PHI4 = (
    "{% for m in messages %}{% if m.role == 'system' and 'tools' in m %}"
    "<|system|>{{ m.content + '<|tool|>' + m.tools + '<|/tool|>' }}"
    "{% else %}<|{{ m.role }}|>{{ m.content }}{% endif %}{% endfor %}"
)
MENTIONS = "You have no tools." + _TURNS + _ENDS


def asked(wrapper: ModuleType, folder: Path, template: str) -> ToolSupport | None:
    """Return what is found out about a template, as the wrapper renders it."""
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    model = wrapper.OnnxGenaiModel()
    model._template = wrapper.ChatTemplate(folder)
    return tool_support.of(model)


@pytest.mark.parametrize("form", TEMPLATES)
def test_a_template_that_renders_tools_is_one_of_a_family(
    wrapper: ModuleType, tmp_path: Path, form: Any
) -> None:
    """The family tells how calls are written."""
    assert asked(wrapper, tmp_path, TEMPLATES[form]) == ToolSupport(form=form)


def test_phi_4_mini_renders_the_tools_of_the_system_message(
    wrapper: ModuleType, tmp_path: Path
) -> None:
    """It has no variable for them."""
    assert asked(wrapper, tmp_path, PHI4) == ToolSupport(form="phi4", in_system=True)


def test_a_template_that_only_mentions_tools_knows_none(
    wrapper: ModuleType, tmp_path: Path
) -> None:
    """Neither does one that fails, nor a wrapper that was logged earlier."""
    assert asked(wrapper, tmp_path, MENTIONS) is None
    assert asked(wrapper, tmp_path, "{{ raise_exception('no') }}") is None
    assert tool_support.of(SimpleNamespace(render=str)) is None


def test_special_tokens_of_calls_are_shown_with_tools_only(model: Any, wrapper: ModuleType) -> None:
    """Of the others a special token has no text; what follows is decoded as it would be alone."""
    end, call = 5, 3
    ids = [*model.encode("Aye"), call, *model.encode("Sir"), end]
    plain, shown = (
        wrapper.TextStream(model._tokenizer, model._joined, calls)
        for calls in ({}, {call: "<|tool_call|>"})
    )

    assert "".join([*map(plain.push, ids), plain.end()]) == "AyeSir"
    assert "".join([*map(shown.push, ids), shown.end()]) == "Aye<|tool_call|>Sir"
