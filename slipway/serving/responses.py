"""What clients receive: OpenAI's objects, built from the engine's text deltas, whole or streamed.

These are own models and not those of ``openai.types``: importing these takes half a second in every
worker, and they describe fields that this server never sends.
"""

import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from slipway.serving.api_errors import as_api_error
from slipway.serving.protocol import TextDelta
from slipway.serving.tool_text import ToolText, as_tool_call
from slipway.values import ToolCall, Value

Form = Literal["chat", "text"]


class Usage(Value):
    """Tokens of a request; generated tokens count in full, also those of a cut stop text."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ResponseHeader(Value):
    """The fields that a completion, and every chunk of a stream, begins with."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str


class AssistantMessage(Value):
    """The message of a choice."""

    role: Literal["assistant"] = "assistant"
    content: str


class FunctionCall(Value):
    """The function of a call; ``arguments`` is a JSON object in a text."""

    name: str
    arguments: str


class MessageToolCall(Value):
    """A call of a tool that the client is to run."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class ToolCallMessage(Value):
    """The message of a choice that calls tools; ``content`` is what the model wrote before."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    tool_calls: list[MessageToolCall]


class ChatChoice(Value):
    """One of the answers to a conversation."""

    index: int
    message: ToolCallMessage | AssistantMessage
    logprobs: None = None
    finish_reason: str


class ChatCompletion(ResponseHeader):
    """The answer to a chat request."""

    choices: list[ChatChoice]
    usage: Usage


class TextChoice(Value):
    """One of the answers to a prompt."""

    index: int
    text: str
    logprobs: None = None
    finish_reason: str


class Completion(ResponseHeader):
    """The answer to a completion request."""

    choices: list[TextChoice]
    usage: Usage


class ModelCard(Value):
    """The served model; ``version`` and ``digest`` identify its bytes."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "slipway"
    version: int
    digest: str | None


class ModelList(Value):
    """``GET /v1/models``."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Ready(Value):
    """``GET /ready``: the version that this worker serves, and its process."""

    model: str
    version: int
    digest: str
    pid: int


@dataclass
class UsageCounter:
    """Texts, finish reasons and token counts of a request so far, by the answer's index.

    ``n`` is the number of answers per prompt, ``failed_status`` the status of an error that ended a
    stream.
    """

    n: int
    texts: dict[int, str] = field(default_factory=dict)
    finish_reasons: dict[int, str] = field(default_factory=dict)
    failed_status: int | None = None
    _prompt_tokens: dict[int, int] = field(default_factory=dict)
    _completion_tokens: dict[int, int] = field(default_factory=dict)

    def add(self, delta: TextDelta) -> None:
        """Count one delta; a prompt counts once, whatever the number of its answers."""
        self.texts[delta.index] = self.texts.get(delta.index, "") + delta.text
        self._prompt_tokens[delta.index // self.n] = delta.prompt_tokens
        self._completion_tokens[delta.index] = delta.completion_tokens
        if delta.finish_reason:
            self.finish_reasons[delta.index] = delta.finish_reason

    @property
    def usage(self) -> Usage:
        """The counts so far."""
        prompt = sum(self._prompt_tokens.values())
        completion = sum(self._completion_tokens.values())
        return Usage(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
        )


def header(form: Form, model: str, fingerprint: str) -> dict[str, Any]:
    """Return the fields of ``ResponseHeader`` for a new answer."""
    names = {"chat": ("chatcmpl", "chat.completion"), "text": ("cmpl", "text_completion")}
    prefix, kind = names[form]
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": fingerprint,
    }


def whole(
    form: Form, header: dict[str, Any], counter: UsageCounter, names: frozenset[str]
) -> ChatCompletion | Completion:
    """Return the answer that is sent at once.

    Args:
        form: Of the response.
        header: Its first fields.
        counter: Has the texts.
        names: Of the tools that may be called.
    """
    choices = [
        {"index": index} | _ended(form, text, counter.finish_reasons[index], names)
        for index, text in sorted(counter.texts.items())
    ]
    kind = ChatCompletion if form == "chat" else Completion
    return kind.model_validate({**header, "choices": choices, "usage": counter.usage})


def _ended(form: Form, text: str, reason: str, names: frozenset[str]) -> dict[str, Any]:
    """Return what an answer is, and why it ended."""
    if form == "text":
        return {"text": text, "finish_reason": reason}
    if not names:
        return {"message": {"content": text}, "finish_reason": reason}
    parts = ToolText(names)
    shown = parts.push(text)
    rest, calls = parts.end()
    if not calls:
        return {"message": {"content": shown + rest}, "finish_reason": reason}
    message = {"content": shown.strip() or None, "tool_calls": [*map(as_tool_call, calls)]}
    return {"message": message, "finish_reason": _reason(reason, calls)}


def _reason(reason: str, calls: tuple[ToolCall, ...]) -> str:
    """Return why an answer ended; one that is cut says so, with its whole calls."""
    return "tool_calls" if calls and reason == "stop" else reason


class EventStream:
    """The server-sent events of one streamed answer; every chunk begins with ``header``."""

    def __init__(
        self, form: Form, header: dict[str, Any], *, include_usage: bool, names: frozenset[str]
    ) -> None:
        self._form = form
        self._header = header | ({"object": "chat.completion.chunk"} if form == "chat" else {})
        self._include_usage = include_usage
        if include_usage:
            self._header["usage"] = None
        self._names = names
        self._tools: dict[int, ToolText] = {}  # by the answer's index, if there are tools
        self._begun: set[int] = set()

    async def events(
        self, deltas: AsyncIterator[TextDelta], counter: UsageCounter
    ) -> AsyncIterator[str]:
        """Yield the events; an error becomes the last one, since the status was sent already."""
        try:
            async for delta in deltas:
                for choice in self._choices(delta):
                    yield _event(self._header | {"choices": [choice]})
        except Exception as error:  # noqa: BLE001 - every error must reach the client
            failed = as_api_error(error)
            counter.failed_status = failed.status
            yield f"data: {failed.body}\n\n"
            return
        if self._include_usage:
            yield _event(self._header | {"choices": [], "usage": counter.usage.model_dump()})
        yield "data: [DONE]\n\n"

    def _choices(self, delta: TextDelta) -> Iterator[dict[str, Any]]:
        """Yield a choice for each chunk; a chat's role and finish reason have their own chunks."""
        common = {"index": delta.index, "logprobs": None, "finish_reason": None}
        if self._form == "text":
            yield common | {"finish_reason": delta.finish_reason, "text": delta.text}
            return
        if delta.index not in self._begun:
            self._begun.add(delta.index)
            yield common | {"delta": {"role": "assistant", "content": ""}}
        text, calls = self._parts(delta)
        if text:
            yield common | {"delta": {"content": text}}
        for part in _call_deltas(calls):
            yield common | {"delta": {"tool_calls": [part]}}
        if delta.finish_reason:
            reason = _reason(delta.finish_reason, calls)
            yield common | {"finish_reason": reason, "delta": {}}

    def _parts(self, delta: TextDelta) -> tuple[str, tuple[ToolCall, ...]]:
        """Return the text that can be shown now, and with the last delta the calls."""
        if not self._names:
            return delta.text, ()
        tools = self._tools.setdefault(delta.index, ToolText(self._names))
        text = tools.push(delta.text)
        if not delta.finish_reason:
            return text, ()
        rest, calls = tools.end()
        return text + rest, calls


def _call_deltas(calls: tuple[ToolCall, ...]) -> Iterator[dict[str, Any]]:
    """Yield the parts of a streamed call: its identifier and name, then its arguments."""
    for index, call in enumerate(calls):
        whole = as_tool_call(call)
        arguments = whole["function"]["arguments"]
        yield {"index": index, **whole, "function": whole["function"] | {"arguments": ""}}
        yield {"index": index, "function": {"arguments": arguments}}


def _event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
