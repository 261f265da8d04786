"""What clients may request: the part of OpenAI's API that one local model has.

A field that has no effect here is accepted with its neutral value. Any other value of such a field,
and any unknown field, is refused by name: no request is answered in part.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from slipway.serving.api_errors import Unsupported
from slipway.serving.protocol import Generate
from slipway.values import PromptMessage

#: Fields about the caller, which do not change an answer.
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
#: Fields that this server does not support, with the values that ask for nothing.
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
_ANSWERS = 16  # of one request; the engine generates one after the other
_SEEDS = 2**31  # the runtime takes seeds below this

Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
TokenLimit = Annotated[StrictInt, Field(ge=1)]


class TextPart(BaseModel):
    """A text in a message's list of parts; images and audio are not supported."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn of a conversation; ``developer`` is the newer name of ``system``."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None
    refusal: None = None
    tool_calls: None = None

    def prompt_message(self) -> PromptMessage:
        """Return the message as the model receives it."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return PromptMessage(role="system" if self.role == "developer" else self.role, content=text)


class StreamOptions(BaseModel):
    """How an answer is streamed."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class GenerationRequest(BaseModel):
    """The fields that chat and completion requests share."""

    model_config = ConfigDict(extra="allow")

    model: str
    max_tokens: TokenLimit | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    n: Annotated[StrictInt, Field(ge=1, le=_ANSWERS)] | None = None
    seed: StrictInt | None = None
    stop: Text | Annotated[list[Text], Field(max_length=_STOP_TEXTS)] | None = None
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None

    @model_validator(mode="after")
    def _refuse_unsupported_fields(self) -> "GenerationRequest":
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
    def include_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def _order(self, prompts: tuple[Any, ...], max_tokens: int) -> Generate:
        return Generate(
            request_id=0,  # the engine's queue gives the real one
            prompts=prompts,
            n=self.n or 1,
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=None if self.seed is None else self.seed % _SEEDS,
            stop=(self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
        )


class ChatRequest(GenerationRequest):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: TokenLimit | None = None

    def order(self, *, default: int, limit: int) -> Generate:
        """Return the engine's order, with at most ``limit`` tokens an answer."""
        max_tokens = self.max_completion_tokens or self.max_tokens or default
        conversation = tuple(message.prompt_message() for message in self.messages)
        return self._order((conversation,), min(max_tokens, limit))


class CompletionRequest(GenerationRequest):
    """``POST /v1/completions``: each text is answered as the model's ``prompt`` contract does."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=_ANSWERS)]

    @model_validator(mode="after")
    def _refuse_too_many_answers(self) -> "CompletionRequest":
        if (self.n or 1) * len(self._prompts) > _ANSWERS:
            text = f"n times the number of prompts is more than {_ANSWERS} answers; request fewer"
            raise Unsupported(text, "n", "invalid_value")
        return self

    @property
    def _prompts(self) -> tuple[str, ...]:
        return (self.prompt,) if isinstance(self.prompt, str) else tuple(self.prompt)

    def order(self, *, default: int, limit: int) -> Generate:
        """Return the engine's order, with at most ``limit`` tokens an answer."""
        return self._order(self._prompts, min(self.max_tokens or default, limit))
