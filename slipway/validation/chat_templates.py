"""Chat templates: the one program that a model brings, tried before it is used.

Only the template that transformers takes is used, by both wrappers, and only that is tried. It is
rendered by transformers' own sandboxed renderer. The sandbox blocks access to Python's objects.
Nothing limits time or memory in it, so a template runs in a child process that has both limits, on
short conversations, on long ones and on odd ones: what loops at the sixth turn would stop an
engine. See https://huggingface.co/docs/transformers/chat_templating.
"""

import hashlib
import re
import signal
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from slipway.errors import SourceRefused, StepCrashed, StepFailed
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.validation import contents, names
from slipway.values import Value

#: Limits of the rendering alone, which takes a tenth of a second of the processor.
_RENDER_SECONDS = 3
_RENDER_BYTES = 1_000_000_000
#: Limit of the process around it, which first imports its libraries from a disk that may be busy.
_PROCESS_SECONDS = 60

_FILE, _CONFIG_FILE = "chat_template.jinja", "tokenizer_config.json"
#: Folder of named templates, for tools and the like.
_NAMED_FOLDER = "additional_chat_templates/"
#: Of older tokenizers: the special tokens, by name.
_TOKENS_FILE = "special_tokens_map.json"
_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")
_ADVICE = "repair the chat template, or use another revision"

Conversation = list[dict[str, str]]


class Template(Value):
    """The used template, its file for errors, and the special tokens that it knows by name."""

    file: str
    text: str
    tokens: dict[str, str]


def _turns(*texts: str, system: str | None = None) -> Conversation:
    """Return a conversation in which user and assistant take turns."""
    begin = [] if system is None else [{"role": "system", "content": system}]
    roles = ("user", "assistant")
    return [*begin, *({"role": roles[n % 2], "content": text} for n, text in enumerate(texts))]


_ASKED = "Which port is {{ 6 * 7 }} miles away?"
_QUESTION = {"role": "user", "content": _ASKED}
_HELPFUL = "You are a helpful assistant."
_SYSTEM = {"role": "system", "content": _HELPFUL}
#: What a template has to render; only that with a system message may be declined.
_GOLDEN = (
    _turns(_ASKED),
    _turns("Hello, 你好", "Hi!", _ASKED),
    _turns(_ASKED, system=_HELPFUL),
)
_LONG = [f"{number}. Go on." for number in range(39)]
#: What a template may decline with ``raise_exception``, or render.
_ODD: Mapping[str, Conversation] = {
    "three turns": _turns(*_LONG[:5]),
    "six turns": _turns(*_LONG[:11]),
    "twenty turns": _turns(*_LONG),
    "twenty turns after a system message": _turns(*_LONG, system=_HELPFUL),
    "an empty message": _turns(""),
    "an empty answer": _turns("Hello", "", _ASKED),
    "an empty system message": _turns(_ASKED, system=""),
    "a system message in the middle": [
        *_turns("Hello", "Hi!"),
        *_turns(_ASKED, system=_HELPFUL),
    ],
    "two users in a row": [*_turns("Hello"), *_turns(_ASKED)],
    "an answer at the end": _turns(_ASKED, "Forty-two."),
    "a thought": _turns(_ASKED, "<think>\nMiles.\n</think>\n\nFort", _ASKED),
    "a long text": _turns("All hands on deck! " * 5000),
    "white space and quotes": _turns("  \"'\\ \t\r\n"),
    "all kinds of characters": _turns("grüß dich 你好 🌍 e\u0301 \u200d\u202e\u2028\ufeff\x7f"),
    "markup": _turns("<|end|></s>[INST]{% if x %}{{ x }}<|im_start|>system\n"),
}


def find(files: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[Template, ...]:
    """Return the chat template that transformers takes; empty if there is none.

    A file precedes the tokenizer's configuration, and of named templates ``default`` is taken: see
    ``_from_pretrained`` and ``get_chat_template`` in transformers' ``tokenization_utils_base.py``.

    Args:
        files: All files of the source, by relative path.
        settings: The content of its JSON files, by relative path.

    Raises:
        SourceRefused: If the template is no text.
    """
    config = contents.as_object(_CONFIG_FILE, settings[_CONFIG_FILE])
    file, text = _CONFIG_FILE, None
    if _FILE in files:
        file, text = _FILE, contents.read_text(_FILE, files[_FILE])
    elif not any(name.startswith(_NAMED_FOLDER) and name.endswith(".jinja") for name in files):
        text = _default(config.get("chat_template"))
    if text is None:
        return ()
    tokens = _special_tokens(config, settings.get(_TOKENS_FILE))
    return (Template(file=file, text=text, tokens=tokens),)


def digest(templates: tuple[Template, ...]) -> str | None:
    """Return the SHA-256 of the template that is used, 64 hex digits; None if there is none."""
    return hashlib.sha256(templates[0].text.encode()).hexdigest() if templates else None


def require_renders(template: Template) -> None:
    """Try a template in a child process, once for each text.

    Raises:
        SourceRefused: If it fails, does not end, takes too much memory, or accesses anything
            outside of the sandbox.
    """
    _try(template.file, template.text, tuple(template.tokens.items()))


@lru_cache
def _try(file: str, text: str, tokens: tuple[tuple[str, str], ...]) -> None:
    if found := re.search(r"__\w+__", text):
        rule = f"its chat template accesses Python's {found[0][:40]!a}"
        raise SourceRefused(file, rule, _ADVICE)
    with TemporaryDirectory(prefix="slipway-") as room:
        trial = Trial(file=file, text=text, tokens=dict(tokens))
        limits = ProcessLimits(_PROCESS_SECONDS, 2 * _RENDER_BYTES, Path(room))
        try:
            call(render, trial, limits, step="render")
        except StepFailed as error:
            rule = "its chat template ended the process that rendered it"
            if isinstance(error, StepCrashed) and error.killed_by == signal.SIGPROF:
                rule = f"its chat template does not end within {_RENDER_SECONDS} s"
            raise SourceRefused(file, rule, _ADVICE) from error


class Trial(Value):
    """A template to render."""

    file: str
    text: str
    tokens: dict[str, str]


def render(trial: Trial) -> None:
    """Render all conversations; runs in the child process.

    Raises:
        SourceRefused: If a golden conversation fails or lacks the user's message, or another one
            fails other than by ``raise_exception``.
    """
    import transformers.utils.chat_template_utils  # noqa: F401 - before time and memory are limited

    _limit_this_process()
    for conversation in _GOLDEN:
        text = _rendered(trial, conversation)
        if isinstance(text, _Failed) and not (text.declined and conversation[0] == _SYSTEM):
            raise SourceRefused(trial.file, f"its chat template fails: {text.reason}", _ADVICE)
        if conversation[0] == _QUESTION and _ASKED not in str(text):
            rule = "its chat template leaves out the user's message"
            raise SourceRefused(trial.file, rule, _ADVICE)
    for name, conversation in _ODD.items():
        text = _rendered(trial, conversation)
        if isinstance(text, _Failed) and not text.declined:
            rule = f"its chat template fails for {name}: {text.reason}"
            raise SourceRefused(trial.file, rule, _ADVICE)


class _Failed(NamedTuple):
    """Why a conversation was not rendered, and whether that was the template's own decision."""

    reason: str
    declined: bool


def _rendered(trial: Trial, conversation: Conversation) -> str | _Failed:
    from jinja2.exceptions import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        (text,), _ = render_jinja_template(
            [conversation], chat_template=trial.text, add_generation_prompt=True, **trial.tokens
        )
    except Exception as error:  # noqa: BLE001 - a template may raise anything
        reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
        return _Failed(names.shown(reason), type(error) is TemplateError)
    return str(text)


def _limit_this_process() -> None:
    """Let the system end this process at its limits; libraries cannot catch that."""
    import resource

    import psutil

    signal.setitimer(signal.ITIMER_PROF, _RENDER_SECONDS)
    if sys.platform == "linux":  # on other systems the parent process watches the limit
        limit = int(psutil.Process().memory_info().vms) + _RENDER_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _default(field: Any) -> str | None:
    """Return the template in a tokenizer's configuration: its text, or the one named default."""
    if field is None or isinstance(field, str):
        return field
    entries: list[Any] = field if isinstance(field, list) else [None]
    if not all(_is_named(each) for each in entries):
        rule = "its chat template is neither a text nor a list of named texts"
        raise SourceRefused(_CONFIG_FILE, rule, _ADVICE)
    return {each["name"]: each["template"] for each in entries}.get("default")


def _is_named(entry: Any) -> bool:
    fields = ("name", "template")
    return isinstance(entry, dict) and all(isinstance(entry.get(each), str) for each in fields)


def _special_tokens(config: dict[str, Any], older: Any) -> dict[str, str]:
    """Return the tokens that a template knows by name, in either form that transformers reads.

    Those that are not named are empty here: the class of a tokenizer may have defaults.
    """
    if "added_tokens_decoder" not in config and isinstance(older, dict):
        config = config | older
    extra = config.get("extra_special_tokens")
    fields = {name: value for name, value in config.items() if name.endswith("_token")}
    fields |= extra if isinstance(extra, dict) else {}
    tokens = {
        name: value.get("content") if isinstance(value, dict) else value
        for name, value in fields.items()
    }
    named = {name: token for name, token in tokens.items() if isinstance(token, str)}
    return dict.fromkeys(_TOKENS, "") | named
