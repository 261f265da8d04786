"""What tests whether a model still writes documents and calls tools."""

from typing import Any, Literal

from pydantic import Field

from slipway.values.answers import Prompt
from slipway.values.base import Value

Capability = Literal["json", "tools"]


class ToolCall(Value):
    """A call of a tool that an answer asks for."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class StructuredPrompt(Prompt):
    """A question whose answer has a form.

    Attributes:
        tools: The functions that may be called, as in OpenAI's API; none for a question that asks
            for a document, which fits ``json_schema``.
        call: The right call; None where none is right.
    """

    purpose: str = "an answer of a form"
    max_tokens: int = Field(default=96, gt=0)
    tools: tuple[dict[str, Any], ...] = ()
    call: ToolCall | None = None


class StructuredRequest(Value):
    """What to ask a wrapper.

    Attributes:
        rendered: By prompt, the text that the source's chat template makes of a question with
            tools; empty for the source itself.
    """

    prompts: tuple[StructuredPrompt, ...]
    rendered: dict[str, str] = Field(default_factory=dict)
