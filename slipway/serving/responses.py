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
from slipway.values import Value

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


class ChatChoice(Value):
    """One of the answers to a conversation."""

    index: int
    message: AssistantMessage
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
    """Texts, finish reasons and token counts of a request so far.

    Attributes:
        n: Answers per prompt.
        texts: By the answer's index.
        finish_reasons: By the answer's index.
    """

    n: int
    texts: dict[int, str] = field(default_factory=dict)
    finish_reasons: dict[int, str] = field(default_factory=dict)
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
        prompt, completion = (
            sum(counts.values()) for counts in (self._prompt_tokens, self._completion_tokens)
        )
        return Usage(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
        )


def header(form: Form, model: str, fingerprint: str) -> dict[str, Any]:
    """Return the fields of ``ResponseHeader`` for a new answer."""
    prefix, kind = {"chat": ("chatcmpl", "chat.completion"), "text": ("cmpl", "text_completion")}[
        form
    ]
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": fingerprint,
    }


def whole(form: Form, header: dict[str, Any], counter: UsageCounter) -> ChatCompletion | Completion:
    """Return the answer that is sent at once."""
    choices = [
        {"index": index, "finish_reason": counter.finish_reasons[index]}
        | ({"message": {"content": text}} if form == "chat" else {"text": text})
        for index, text in sorted(counter.texts.items())
    ]
    kind = ChatCompletion if form == "chat" else Completion
    return kind.model_validate({**header, "choices": choices, "usage": counter.usage})


class EventStream:
    """The server-sent events of one streamed answer.

    Args:
        form: Whether the answer is a chat's or a text's.
        header: The fields that every chunk begins with.
        include_usage: Whether the client wants the token counts at the end.
    """

    def __init__(self, form: Form, header: dict[str, Any], *, include_usage: bool) -> None:
        self._form = form
        self._header = header | ({"object": "chat.completion.chunk"} if form == "chat" else {})
        self._include_usage = include_usage
        if include_usage:
            self._header["usage"] = None
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
            yield f"data: {as_api_error(error).body}\n\n"
            return
        if self._include_usage:
            yield _event(self._header | {"choices": [], "usage": counter.usage.model_dump()})
        yield "data: [DONE]\n\n"

    def _choices(self, delta: TextDelta) -> Iterator[dict[str, Any]]:
        """Yield a choice for each chunk; a chat's role and finish reason have their own chunks."""
        common = {"index": delta.index, "logprobs": None, "finish_reason": None}
        ended = {"finish_reason": delta.finish_reason}
        if self._form == "text":
            yield common | ended | {"text": delta.text}
            return
        if delta.index not in self._begun:
            self._begun.add(delta.index)
            yield common | {"delta": {"role": "assistant", "content": ""}}
        if delta.text:
            yield common | {"delta": {"content": delta.text}}
        if delta.finish_reason:
            yield common | ended | {"delta": {}}


def _event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
