"""The tools of a request, and which of them the answer may or has to call."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, model_validator

from slipway.serving.api_errors import Unsupported
from slipway.serving.client_json import parsed
from slipway.serving.request_object import RequestObject

TOOLS = 128  # of one request, as OpenAI has it
_NAME = r"^[a-zA-Z0-9_-]{1,64}$"
_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}

ToolName = Annotated[str, Field(pattern=_NAME)]


class FunctionDefinition(RequestObject):
    """A function that the client runs; ``strict`` asks for arguments that fit the schema."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: StrictBool | None = None

    @model_validator(mode="after")
    def _require_an_object(self) -> Self:
        if (self.parameters or _NO_ARGUMENTS).get("type", "object") != "object":
            text = "is no 'object': the arguments of a function have names"
            raise Unsupported(text, "parameters.type", "invalid_value")
        return self

    @property
    def schema_of_arguments(self) -> dict[str, Any]:
        """The JSON schema of the arguments; they are an object, whether or not it says so."""
        return {"type": "object"} | self.parameters if self.parameters else _NO_ARGUMENTS


class Tool(RequestObject):
    """A tool; functions are the only kind."""

    type: Literal["function"]
    function: FunctionDefinition

    def as_given(self) -> dict[str, Any]:
        """Return the tool as chat templates know it."""
        given = self.function.model_dump(exclude_none=True, exclude={"strict"})
        parameters = self.function.parameters or {"type": "object", "properties": {}}
        return {"type": "function", "function": given | {"parameters": parameters}}


class ChosenFunction(RequestObject):
    """The function that has to be called."""

    name: str


class ToolChoice(RequestObject):
    """Whether tools are called: ``none``, ``auto``, ``required``, or the function of that name."""

    type: Literal["none", "auto", "required", "function"]
    function: ChosenFunction | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, given: Any) -> Any:
        return {"type": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _require_name(self) -> Self:
        if (self.function is None) == (self.type == "function"):
            text = "belongs to type 'function', which needs it"
            raise Unsupported(text, "function", "invalid_value")
        return self


class CalledFunction(RequestObject):
    """The function of a call in a conversation, with its arguments as JSON in a text."""

    name: str
    arguments: str

    @property
    def values(self) -> dict[str, Any]:
        """The arguments as chat templates know them."""
        values: dict[str, Any] = parsed(self.arguments or "{}", "arguments")
        return values

    @model_validator(mode="after")
    def _require_object(self) -> Self:
        if not isinstance(self.values, dict):
            raise Unsupported("is no JSON object", "arguments", "invalid_value")
        return self


class ToolCallInMessage(RequestObject):
    """A call that an earlier answer made."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction

    def as_given(self) -> dict[str, Any]:
        """Return the call as chat templates know it: with its arguments as an object."""
        function = {"name": self.function.name, "arguments": self.function.values}
        return {"id": self.id, "type": "function", "function": function}


def require_different_names(tools: list[Tool]) -> None:
    """Refuse two tools of one name.

    Raises:
        Unsupported: With the place of the second.
    """
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        name = tool.function.name
        if name in seen:
            place = f"tools.{index}.function.name"
            raise Unsupported(f"{name!r} is the name of an earlier tool", place, "invalid_value")
        seen.add(name)
