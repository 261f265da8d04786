"""What may be asked and what is answered: the part of OpenAI's API that one local model has.

A field that changes nothing here is accepted with the value that asks for nothing; with any other
it is refused by name, and so is a field that nobody knows: no request is answered as if half of it
had not been said.
"""

import time
import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from slipway.serving.api_errors import Unsupported
from slipway.serving.protocol import Ask, ConversationMessage
from slipway.values import Value

#: Fields about the caller, which nothing here depends on.
_IGNORED = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
#: Fields that ask for what this server does not have, unless they have one of these values.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
}
_STOP_TEXTS = 4
_ANSWERS = 16  # of one request; the model gives one after the other

Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class TextPart(BaseModel):
    """A part of a message; images and sound are not understood."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn of a conversation; ``developer`` is what newer clients call ``system``."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None
    refusal: None = None
    tool_calls: None = None

    def plain(self) -> ConversationMessage:
        """Return what the model is told."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return ConversationMessage(
            role="system" if self.role == "developer" else self.role, content=text
        )


class StreamOptions(BaseModel):
    """How an answer is streamed."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class GenerationRequest(BaseModel):
    """What both kinds of requests may hold."""

    model_config = ConfigDict(extra="allow")

    model: str
    max_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    n: Annotated[StrictInt, Field(ge=1, le=_ANSWERS)] | None = None
    seed: StrictInt | None = None
    stop: Text | Annotated[list[Text], Field(max_length=_STOP_TEXTS)] | None = None
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None

    @model_validator(mode="after")
    def _refuse_what_is_not_obeyed(self) -> "GenerationRequest":
        for field, value in (self.model_extra or {}).items():
            if field not in _IGNORED and field not in _NEUTRAL:
                raise Unsupported(f"unknown parameter: {field!r:.80}", field, "unknown_parameter")
            if field in _NEUTRAL and value is not None and value not in _NEUTRAL[field]:
                text = f"{field} is not supported by this server; leave it out"
                raise Unsupported(text, field, "unsupported_parameter")
        if self.stream_options and not self.stream:
            text = "stream_options is only allowed with stream = true"
            raise Unsupported(text, "stream_options", "invalid_value")
        return self

    @property
    def stop_texts(self) -> tuple[str, ...]:
        """``stop`` as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to end with the counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def _ask(self, prompts: tuple[Any, ...], max_tokens: int) -> Ask:
        return Ask(
            request_id=0,
            prompts=prompts,
            n=self.n or 1,
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=None if self.seed is None else self.seed % 2**31,
            stop=self.stop_texts,
        )


class ChatRequest(GenerationRequest):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[StrictInt, Field(ge=1)] | None = None

    def ask(self, *, usual: int, most: int) -> Ask:
        """Return what the engine is asked, with at most ``most`` tokens an answer."""
        wanted = self.max_completion_tokens or self.max_tokens or usual
        conversation = tuple(message.plain() for message in self.messages)
        return self._ask((conversation,), min(wanted, most))


class CompletionRequest(GenerationRequest):
    """``POST /v1/completions``: each text is answered as the model's ``prompt`` contract does."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=_ANSWERS)]

    @model_validator(mode="after")
    def _refuse_too_many_answers(self) -> "CompletionRequest":
        if (self.n or 1) * len(self._prompts) > _ANSWERS:
            text = f"n times the prompts is more than {_ANSWERS} answers; ask for fewer at once"
            raise Unsupported(text, "n", "invalid_value")
        return self

    @property
    def _prompts(self) -> tuple[str, ...]:
        return (self.prompt,) if isinstance(self.prompt, str) else tuple(self.prompt)

    def ask(self, *, usual: int, most: int) -> Ask:
        """Return what the engine is asked, with at most ``most`` tokens an answer."""
        return self._ask(self._prompts, min(self.max_tokens or usual, most))


class Usage(Value):
    """Tokens of a request; what was generated counts in full, a cut stop text included."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Answered(Value):
    """What every answer, and every chunk of one, begins with."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str


class Reply(Value):
    """The message of a choice."""

    role: Literal["assistant"] = "assistant"
    content: str


class ChatChoice(Value):
    """One of the answers to a conversation."""

    index: int
    message: Reply
    logprobs: None = None
    finish_reason: str


class ChatCompletion(Answered):
    """The answer to a chat request."""

    choices: list[ChatChoice]
    usage: Usage


class TextChoice(Value):
    """One of the answers to a prompt."""

    index: int
    text: str
    logprobs: None = None
    finish_reason: str


class Completion(Answered):
    """The answer to a completion request."""

    choices: list[TextChoice]
    usage: Usage


class ModelCard(Value):
    """A model that can be asked; ``version`` and ``digest`` say exactly which."""

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


def header(kind: str, model: str, fingerprint: str) -> dict[str, Any]:
    """Return the fields that every chunk of one answer begins with."""
    prefix = "chatcmpl" if kind.startswith("chat") else "cmpl"
    return {
        "id": f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": fingerprint,
    }
