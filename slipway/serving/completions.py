"""From the parts that an engine says to what OpenAI's clients read: whole, or as a stream."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from slipway.serving.api_errors import ApiError, problem_of
from slipway.serving.engine import Job
from slipway.serving.protocol import End, TextDelta
from slipway.serving.schemas import Usage

Form = Literal["chat", "text"]


@dataclass
class UsageCounter:
    """What is known of an answer so far.

    Attributes:
        texts: By choice.
        reasons: By choice: why it ended.
    """

    texts: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    _prompts: dict[int, int] = field(default_factory=dict)
    _generated: dict[int, int] = field(default_factory=dict)

    def add(self, part: TextDelta, n: int) -> None:
        """Take one part; each prompt is counted once, whatever the number of its answers."""
        self.texts[part.index] = self.texts.get(part.index, "") + part.text
        self._prompts[part.index // n] = part.prompt_tokens
        self._generated[part.index] = part.completion_tokens
        if part.finish_reason:
            self.reasons[part.index] = part.finish_reason

    @property
    def usage(self) -> Usage:
        """The counts so far."""
        asked, generated = sum(self._prompts.values()), sum(self._generated.values())
        total = asked + generated
        return Usage(prompt_tokens=asked, completion_tokens=generated, total_tokens=total)


async def parts(job: Job, tally: UsageCounter) -> AsyncIterator[TextDelta]:
    """Yield the parts of an answer, and count them.

    Raises:
        NotServing: If the engine died.
        Problem: If the model refused the request, or failed at it.
    """
    async for event in job.parts():
        if isinstance(event, End):
            if event.outcome == "refused":
                raise ApiError(400, event.reason, code=_code(event.reason))
            if event.outcome == "failed":
                raise ApiError(500, f"the model failed: {event.reason}", code="model_failed")
            return
        tally.add(event, job.ask.n)
        yield event


def whole(form: Form, header: Mapping[str, Any], tally: UsageCounter) -> dict[str, Any]:
    """Return the body of an answer that is sent at once."""
    choices = [
        _message(form, tally.texts[index])
        | {"index": index, "logprobs": None, "finish_reason": tally.reasons[index]}
        for index in sorted(tally.texts)
    ]
    return {**header, "choices": choices, "usage": tally.usage.model_dump()}


class Stream:
    """Writes the events of one streamed answer.

    Args:
        form: Of a chat, or of plain texts.
        header: What every chunk begins with.
        counted: Whether the client wants the counts.
    """

    def __init__(self, form: Form, header: Mapping[str, Any], *, counted: bool) -> None:
        self._form = form
        self._header = dict(header) | ({"usage": None} if counted else {})
        self._counted = counted
        self._begun: set[int] = set()

    async def events(
        self, said: AsyncIterator[TextDelta], tally: UsageCounter
    ) -> AsyncIterator[bytes]:
        """Yield the events; an error becomes the last one, since the status is long sent."""
        try:
            async for part in said:
                for chunk in self._chunks(part):
                    yield _event(chunk)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must be told
            yield f"data: {problem_of(error).body}\n\n".encode()
            return
        if self._counted:
            yield _event(self._header | {"choices": [], "usage": tally.usage.model_dump()})
        yield b"data: [DONE]\n\n"

    def _chunks(self, part: TextDelta) -> list[dict[str, Any]]:
        if self._form == "text":
            return [self._chunk(part, {"text": part.text}, part.finish_reason)]
        deltas: list[dict[str, str]] = []
        if part.index not in self._begun:
            self._begun.add(part.index)
            deltas.append({"role": "assistant", "content": ""})
        if part.text:
            deltas.append({"content": part.text})
        chunks = [self._chunk(part, {"delta": delta}, None) for delta in deltas]
        if part.finish_reason:
            chunks.append(self._chunk(part, {"delta": {}}, part.finish_reason))
        return chunks

    def _chunk(self, part: TextDelta, body: dict[str, Any], reason: str | None) -> dict[str, Any]:
        choice = body | {"index": part.index, "logprobs": None, "finish_reason": reason}
        return self._header | {"choices": [choice]}


def _message(form: Form, text: str) -> dict[str, Any]:
    return {"text": text} if form == "text" else {"message": {"role": "assistant", "content": text}}


def _event(document: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()


def _code(reason: str) -> str:
    return "context_length_exceeded" if "don't fit a context" in reason else "invalid_value"
