"""What clients may request: the part of OpenAI's API that one local model has.

A field that asks for nothing is left out, as ``slipway.values.request_fields`` lists. Any other
value of such a field, and any unknown field, is refused by name: no request is answered in part.
"""

from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StrictBool, StrictInt, model_validator

from slipway.serving import client_json, guidance, tool_formats
from slipway.serving.api_errors import Unsupported
from slipway.serving.guidance import Guidance, ResponseFormat
from slipway.serving.protocol import Generate, ToolFormat, ToolSupport
from slipway.serving.request_object import RequestObject
from slipway.serving.tools import (
    TOOLS,
    Tool,
    ToolCallInMessage,
    ToolChoice,
    require_different_names,
)
from slipway.values.request_fields import NEUTRAL, NEUTRAL_IN_MESSAGE, NEUTRAL_IN_PART, Neutral

_STOP_TEXTS = 32
_STOP_CHARACTERS = 256
_ANSWERS = 16  # of one request
_SEEDS = 2**31  # the runtime takes seeds below this

Text = Annotated[str, Field(min_length=1)]
StopText = Annotated[str, Field(min_length=1, max_length=_STOP_CHARACTERS)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
TokenLimit = Annotated[StrictInt, Field(ge=1)]


class TextPart(RequestObject):
    """A text in a message's list of parts; images and audio are not supported."""

    neutral: ClassVar[Neutral] = NEUTRAL_IN_PART

    type: Literal["text"]
    text: str


class ChatMessage(RequestObject):
    """One turn of a conversation; ``developer`` is the newer name of ``system``.

    An assistant's turn without content said nothing, or called tools; a turn of the role ``tool``
    is the result of one call.
    """

    neutral: ClassVar[Neutral] = NEUTRAL_IN_MESSAGE

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[TextPart], Field(min_length=1)] = ""
    tool_calls: Annotated[list[ToolCallInMessage], Field(max_length=TOOLS)] | None = None
    tool_call_id: Text | None = None

    @model_validator(mode="after")
    def _require_content(self) -> Self:
        if "content" not in self.model_fields_set and self.role != "assistant":
            raise Unsupported("is missing", "content", "invalid_value")
        if self.tool_calls and self.role != "assistant":
            text = "belongs to messages of the role 'assistant'"
            raise Unsupported(text, "tool_calls", "invalid_value")
        if (self.tool_call_id is None) == (self.role == "tool"):
            text = "belongs to messages of the role 'tool', which need it"
            raise Unsupported(text, "tool_call_id", "invalid_value")
        return self

    def as_given(self) -> dict[str, Any]:
        """Return the message as chat templates know it."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        given: dict[str, Any] = {
            "role": "system" if self.role == "developer" else self.role,
            "content": text,
        }
        if self.tool_calls:
            given["tool_calls"] = [each.as_given() for each in self.tool_calls]
        return given | ({"tool_call_id": self.tool_call_id} if self.tool_call_id else {})


class StreamOptions(RequestObject):
    """How an answer is streamed; obfuscation would only make its events longer."""

    neutral: ClassVar[Neutral] = {"include_obfuscation": None, "continuous_usage_stats": (False,)}

    include_usage: bool = False


class GenerationRequest(RequestObject):
    """The fields that chat and completion requests share."""

    neutral: ClassVar[Neutral] = NEUTRAL

    model: str
    max_tokens: TokenLimit | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    top_k: Annotated[StrictInt, Field(ge=-1)] | None = None
    n: Annotated[StrictInt, Field(ge=1, le=_ANSWERS)] | None = None
    seed: StrictInt | None = None
    repetition_penalty: Annotated[Number, Field(ge=0.01, le=2)] | None = None
    repeat_penalty: Annotated[Number, Field(ge=0.01, le=2)] | None = None
    response_format: ResponseFormat | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: str | None = None
    guided_grammar: str | None = None
    guided_choice: list[str] | None = None
    structured_outputs: dict[str, Any] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=_STOP_TEXTS)] | None = None
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_whole_body(cls, body: Any) -> Any:
        """Check every text of the body, wherever it is: no later layer can encode half of one."""
        client_json.require_usable(body)
        return body

    @model_validator(mode="after")
    def _require_stream(self) -> Self:
        if self.stream_options and not self.stream:
            text = "is only allowed with stream = true"
            raise Unsupported(text, "stream_options", "invalid_value")
        return self

    @cached_property
    def guidance(self) -> Guidance | None:
        """What an answer must match."""
        guided = {
            "json": self.guided_json,
            "regex": self.guided_regex,
            "grammar": self.guided_grammar,
            "choice": self.guided_choice,
        }
        return guidance.only(guided, self.structured_outputs or {}, self.response_format)

    @model_validator(mode="after")
    def _require_enforceable_guidance(self) -> Self:
        _ = self.guidance
        return self

    @property
    def guidance_place(self) -> str:
        """The field of the request that asks for a form of the answer."""
        return self.guidance.place if self.guidance else "tools"

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def _order(
        self, prompts: tuple[Any, ...], max_tokens: int, wanted: Guidance | None
    ) -> Generate:
        return Generate(
            request_id=0,  # the engine's queue gives the real one
            prompts=prompts,
            n=self.n or 1,
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=None if self.top_k is None else max(self.top_k, 0),
            seed=None if self.seed is None else self.seed % _SEEDS,
            stop=(self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
            repetition_penalty=self.repetition_penalty or self.repeat_penalty,
            guidance=wanted and (wanted.kind, wanted.text),
        )


class ChatRequest(GenerationRequest):
    """``POST /v1/chat/completions``."""

    #: With tools, a choice of ``none`` asks for something, and so does one call at a time.
    neutral: ClassVar[Neutral] = {
        field: values
        for field, values in NEUTRAL.items()
        if field not in {"tool_choice", "parallel_tool_calls"}
    }

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: TokenLimit | None = None
    tools: Annotated[list[Tool], Field(max_length=TOOLS)] = Field(default=[])
    tool_choice: ToolChoice = ToolChoice(type="auto")
    parallel_tool_calls: StrictBool = True

    @model_validator(mode="after")
    def _require_usable_tools(self) -> Self:
        require_different_names(self.tools)
        _require_named(self.tool_choice, self.names_of_tools)
        if self._guidance_of_tools("hermes") and self.guidance:
            text = "cannot be combined with tools that have to be called, or are strict"
            raise Unsupported(text, self.guidance.place, "invalid_value")
        return self

    @property
    def names_of_tools(self) -> frozenset[str]:
        """The tools that may be called."""
        offered = [] if self.tool_choice.type == "none" else self.tools
        return frozenset(each.function.name for each in offered)

    def order(self, *, default: int, limit: int, support: ToolSupport | None) -> Generate:
        """Return the engine's order, with at most ``limit`` tokens an answer.

        Args:
            default: Limit of tokens where the request sets none.
            limit: The server's.
            support: Of the model's chat template for tools.
        """
        max_tokens = self.max_completion_tokens or self.max_tokens or default
        calls = self._guidance_of_tools(support.form if support else "hermes")
        messages = [each.as_given() for each in self.messages]
        names = self.names_of_tools
        tools = [each.as_given() for each in self.tools if each.function.name in names]
        rendered = tool_formats.rendered(messages, tools, support)
        order = self._order((rendered.messages,), min(max_tokens, limit), self.guidance or calls)
        return order.model_copy(update={"tools": rendered.tools})

    def _guidance_of_tools(self, form: ToolFormat) -> Guidance | None:
        """Return the grammar of calls; None if the model writes what it likes."""
        choice, names = self.tool_choice, self.names_of_tools
        if choice.function:
            names = frozenset((choice.function.name,))
        tools = [(at, each) for at, each in enumerate(self.tools) if each.function.name in names]
        is_free = choice.type == "auto" and not any(each.function.strict for _, each in tools)
        if not tools or is_free:
            return None
        most = tool_formats.MOST_CALLS if self.parallel_tool_calls and not choice.function else 1
        return tool_formats.guidance(tools, form, most=most, or_text=choice.type == "auto")


class CompletionRequest(GenerationRequest):
    """``POST /v1/completions``: each text is answered as the model's ``prompt`` contract does."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=_ANSWERS)]

    @model_validator(mode="after")
    def _refuse_too_many_answers(self) -> Self:
        if (self.n or 1) * len(self._prompts) > _ANSWERS:
            text = f"times the number of prompts is more than {_ANSWERS} answers; request fewer"
            raise Unsupported(text, "n", "invalid_value")
        return self

    @property
    def _prompts(self) -> tuple[str, ...]:
        return (self.prompt,) if isinstance(self.prompt, str) else tuple(self.prompt)

    @property
    def names_of_tools(self) -> frozenset[str]:
        """No tools: a prompt has none."""
        return frozenset()

    def order(self, *, default: int, limit: int, support: ToolSupport | None) -> Generate:  # noqa: ARG002
        """Return the engine's order, with at most ``limit`` tokens an answer."""
        return self._order(self._prompts, min(self.max_tokens or default, limit), self.guidance)


def _require_named(choice: ToolChoice, names: frozenset[str]) -> None:
    """Refuse a choice of a tool that the request does not have."""
    if choice.type in {"required", "function"} and not names:
        raise Unsupported("needs tools", "tool_choice", "invalid_value")
    if choice.function and choice.function.name not in names:
        fault = f"{choice.function.name!r:.80} is the name of no tool of this request"
        raise Unsupported(fault, "tool_choice.function.name", "invalid_value")
