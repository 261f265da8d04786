"""Chat templates: the one program that a model brings, tried before it is used.

A template is rendered by transformers' own sandboxed renderer. The sandbox blocks access to
Python's objects. It limits neither time nor memory, so the template runs in a child process that
has both limits. See https://huggingface.co/docs/transformers/chat_templating.
"""

import hashlib
import re
import signal
import sys
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slipway.errors import SourceRefused, StepCrashed, StepFailed
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.validation import contents
from slipway.values import Value

#: Limits of the rendering alone, which takes milliseconds.
_RENDER_SECONDS = 3
_RENDER_BYTES = 1_000_000_000
#: Limit of the process around it, which first imports its libraries from a disk that may be busy.
_PROCESS_SECONDS = 60

_TEMPLATE_FILE, _CONFIG_FILE = "chat_template.jinja", "tokenizer_config.json"
_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")
_ADVICE = "repair the chat template, or use another revision"

_ASKED = {"role": "user", "content": "Which port is {{ 6 * 7 }} miles away?"}
_SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
_GOLDEN: tuple[list[dict[str, str]], ...] = (
    [_ASKED],
    [{"role": "user", "content": "Hello, 你好"}, {"role": "assistant", "content": "Hi!"}, _ASKED],
    [_SYSTEM, _ASKED],
)


class TemplateRequest(Value):
    """A template to render.

    Attributes:
        file: The template's file, for errors.
        tokens: Special tokens that it may use, by name.
    """

    file: str
    template: str
    tokens: dict[str, str]


def check(files: dict[str, Path]) -> str | None:
    """Try every chat template of a source.

    Args:
        files: All files of the source, by relative path; the tokenizer's configuration is one.

    Returns:
        SHA-256 of the template that transformers uses, 64 hex digits; None if there is none.

    Raises:
        SourceRefused: If one fails, does not end, takes too much memory, or accesses anything
            outside of the sandbox.
    """
    settings = contents.read_object(_CONFIG_FILE, files[_CONFIG_FILE])
    inside = _named(settings.get("chat_template"))
    texts = {name: path for name, path in files.items() if path.suffix == ".jinja"}
    alone = {name: contents.read_text(name, path) for name, path in texts.items()}
    tokens = tuple((name, _token(settings.get(name))) for name in _TOKENS)
    for file, template in (*alone.items(), *((_CONFIG_FILE, each) for each in inside.values())):
        _try(file, template, tokens)
    default = alone.get(_TEMPLATE_FILE, inside.get("default"))
    if "default" in inside and inside["default"] != default:
        rule = f"its chat template differs from {_TEMPLATE_FILE}, and readers take one or the other"
        raise SourceRefused(_CONFIG_FILE, rule, "remove one of them")
    return None if default is None else hashlib.sha256(default.encode()).hexdigest()


def render(trial: TemplateRequest) -> None:
    """Render the golden conversations; runs in the child process.

    Raises:
        SourceRefused: If the template fails, or leaves out the user's message.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    _limit_this_process()
    for conversation in _GOLDEN:
        try:
            (text,), _ = render_jinja_template(
                [conversation],
                chat_template=trial.template,
                add_generation_prompt=True,
                **trial.tokens,
            )
        except Exception as error:
            if _is_declined(error, conversation):
                continue
            reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
            raise SourceRefused(
                trial.file, f"its chat template fails: {reason}", _ADVICE
            ) from error
        if conversation[0] is _ASKED and _ASKED["content"] not in text:
            rule = "its chat template leaves out the user's message"
            raise SourceRefused(trial.file, rule, _ADVICE)


@lru_cache
def _try(file: str, template: str, tokens: tuple[tuple[str, str], ...]) -> None:
    """Render a template in a child process, once for each text."""
    if found := re.search(r"__\w+__", template):
        rule = f"its chat template accesses Python's {found[0][:40]!a}"
        raise SourceRefused(file, rule, _ADVICE)
    trial = TemplateRequest(file=file, template=template, tokens=dict(tokens))
    with TemporaryDirectory(prefix="slipway-") as logs:
        limits = ProcessLimits(_PROCESS_SECONDS, 2 * _RENDER_BYTES, Path(logs))
        try:
            call(render, trial, limits, step="render")
        except StepFailed as error:
            rule = "its chat template ended the process that rendered it"
            if isinstance(error, StepCrashed) and error.killed_by == signal.SIGALRM:
                rule = f"its chat template does not end within {_RENDER_SECONDS} s"
            raise SourceRefused(file, rule, _ADVICE) from error


def _limit_this_process() -> None:
    """Let the system end this process at its limits; libraries cannot catch that."""
    import resource
    import signal

    import psutil

    signal.setitimer(signal.ITIMER_REAL, _RENDER_SECONDS)
    if sys.platform == "linux":  # on other systems the parent process watches the limit
        limit = int(psutil.Process().memory_info().vms) + _RENDER_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _is_declined(error: Exception, conversation: list[dict[str, str]]) -> bool:
    """Return whether a template rejects a system message on purpose."""
    from jinja2.exceptions import TemplateError

    return type(error) is TemplateError and conversation[0] is _SYSTEM


def _named(field: Any) -> dict[str, str]:
    """Return the templates of a tokenizer's configuration by name, in either of its forms."""
    if field is None or isinstance(field, str):
        return {} if field is None else {"default": field}
    entries: list[Any] = field if isinstance(field, list) else [None]
    if not all(_is_named(each) for each in entries):
        rule = "its chat template is neither a text nor a list of named texts"
        raise SourceRefused(_CONFIG_FILE, rule, _ADVICE)
    return {each["name"]: each["template"] for each in entries}


def _is_named(entry: Any) -> bool:
    fields = ("name", "template")
    return isinstance(entry, dict) and all(isinstance(entry.get(each), str) for each in fields)


def _token(field: Any) -> str:
    text = field.get("content") if isinstance(field, dict) else field
    return text if isinstance(text, str) else ""
