"""The ONNX wrapper renders what transformers renders, whatever a template does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from transformers import AutoTokenizer

from slipway.checks.conversations import conversations
from tests.support.chat_templates import TEMPLATES

Conversation = list[dict[str, Any]]
Render = Callable[[Conversation], str]

TOKENS = {
    "bos_token": "<s>",
    "eos_token": "<|end|>",
    "pad_token": "<|endoftext|>",
    "image_token": "<image>",
    "extra_special_tokens": {"boi_token": "<boi>"},
}
PLAIN = "{% for message in messages %}{{ message.content }}{% endfor %}{{ eos_token }}"
NAMED = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": PLAIN}]
FILE, CONFIG = "chat_template.jinja", "tokenizer_config.json"
OTHER = "additional_chat_templates/other.jinja"
LEGACY = {"bos_token": {"content": "<s>", "lstrip": False}, "eos_token": "<|end|>"}
#: Where a template and its tokens are written: text or JSON by file, other fields of the config.
PLACES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a file": ({FILE: PLAIN}, {}),
    "the tokenizer": ({}, {"chat_template": PLAIN}),
    "a list": ({}, {"chat_template": NAMED}),
    "a list without a default": ({}, {"chat_template": NAMED[:1]}),
    "a file before the tokenizer": ({FILE: PLAIN}, {"chat_template": "older"}),
    "a file among others": ({FILE: PLAIN, OTHER: "other"}, {}),
    "other files alone": ({OTHER: "other"}, {"chat_template": PLAIN}),
    "nowhere": ({}, {}),
    "Windows": ({FILE: PLAIN.replace("%}", "%}\r\n")}, {}),
    "older tokens": ({FILE: PLAIN, "special_tokens_map.json": LEGACY}, {"eos_token": "<s>"}),
    "tokens as objects": (
        {FILE: PLAIN},
        {"eos_token": {"__type": "AddedToken", "content": "<|end|>"}},
    ),
    "no tokens": ({FILE: PLAIN}, {"eos_token": None}),
}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "tide", "arguments": {"port": "Ø"}}}],
}
RESULT = {"role": "tool", "name": "tide", "content": '{"metres": 1.5}'}
#: Each takes hours.
ENDLESS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    """\
{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}
""",
    """\
{% macro f() %}{{ caller() }}{{ caller() }}{% endmacro %}
{% macro g(n) %}{% if n %}{% call f() %}{{ g(n - 1) }}{% endcall %}{% endif %}{% endmacro %}
{{ g(60) }}
""",
)


def rendered(render: Render, conversation: Conversation) -> str:
    """Return the text, or ``!`` and the class of the error."""
    try:
        return render(conversation)
    except Exception as error:  # noqa: BLE001 - a template may raise anything
        return f"!{type(error).__name__}"


@pytest.fixture(scope="module")
def generated() -> list[Conversation]:
    """Return 500 conversations: a third of them in parts, and some with calls of tools."""
    made = [[message.model_dump() for message in each] for each in conversations(500)]
    for messages in made[::3]:
        for message in messages:
            text = {"type": "text", "text": message["content"]}
            message["content"] = [text, {"type": "image"}, text]
    for messages in made[1::7]:
        messages += [CALL, RESULT, RESULT]
    return made


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """Return the tiny model's tokenizer without its chat template."""
    shutil.copy(checkpoint / "tokenizer.json", tmp_path)
    config = json.loads((checkpoint / CONFIG).read_bytes()) | TOKENS
    (tmp_path / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return tmp_path


def of_transformers(tokenizer: Any) -> Render:
    """Return how a tokenizer of transformers renders."""

    def render(conversation: Conversation) -> str:
        return str(
            tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        )

    return render


def test_forty_templates_render_500_conversations_as_transformers_does(
    folder: Path, wrapper: ModuleType, generated: list[Conversation]
) -> None:
    """Character by character; what one declines, the other declines with the same error."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pairs = []
    for name, text in TEMPLATES.items():
        (folder / FILE).write_text(text, encoding="utf-8")
        tokenizer.chat_template = text
        ours, theirs = wrapper.ChatTemplate(folder).render, of_transformers(tokenizer)
        pairs += [(name, rendered(ours, each), rendered(theirs, each)) for each in generated]

    assert len(TEMPLATES) == 40
    assert [pair for pair in pairs if pair[1] != pair[2]] == []
    assert sum(not text.startswith("!") for _, text, _ in pairs) > 15_000


@pytest.mark.parametrize(("files", "fields"), PLACES.values(), ids=PLACES.keys())
def test_the_template_and_its_tokens_are_those_that_transformers_takes(
    folder: Path, wrapper: ModuleType, files: dict[str, Any], fields: dict[str, Any]
) -> None:
    """From whichever of the files where either may be."""
    config = json.loads((folder / CONFIG).read_bytes())
    for name, content in (files | {CONFIG: config | fields}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_bytes(text.encode())
    messages = [{"role": "user", "content": "Hello!"}]
    theirs = of_transformers(AutoTokenizer.from_pretrained(folder))

    text = rendered(wrapper.ChatTemplate(folder).render, messages)

    assert text.replace("!TemplateError", "!ValueError") == rendered(theirs, messages)


@pytest.mark.parametrize("text", ENDLESS)
def test_a_template_without_an_end_is_ended(
    folder: Path, wrapper: ModuleType, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """In loops and in macros: nothing else in a template can take time without taking memory."""
    monkeypatch.setattr(wrapper, "RENDER_SECONDS", 0.1)
    (folder / FILE).write_text(text, encoding="utf-8")

    with pytest.raises(wrapper.RenderingTimeout, match=r"does not end within 0\.1 s"):
        wrapper.ChatTemplate(folder).render([{"role": "user", "content": "Hello!"}])


def test_a_text_without_an_end_is_ended(
    folder: Path, wrapper: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fits no context."""
    monkeypatch.setattr(wrapper, "RENDER_CHARACTERS", 1000)
    (folder / FILE).write_text("{% for a in range(99) %}0123456789 {% endfor %}", encoding="utf-8")

    with pytest.raises(wrapper.ContextLengthExceeded, match="over 1000 characters"):
        wrapper.ChatTemplate(folder).render([{"role": "user", "content": "Hello!"}])


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{% set ns = namespace(_x=1) %}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ dict.__class__ }}",
        "{{ dict.mro() }}",
        "{% include 'tokenizer.json' %}",
    ],
)
def test_the_sandbox_gives_no_access_and_the_error_is_a_value_error(
    load: Any, onnx_folder: Path, tmp_path: Path, text: str
) -> None:
    """A server answers it with 400, as it answers a conversation that the template declines."""
    changed = shutil.copytree(onnx_folder, tmp_path / "model")
    (changed / FILE).write_text(text + "{{ 1 // 0 }}", encoding="utf-8")

    with pytest.raises(ValueError, match="the chat template declines these messages: ") as caught:
        load(changed).render([{"role": "user", "content": "Hello!"}])

    assert caught.value.code == "messages_declined"
