"""What the run forms of the Prefect UI ask for: titles, lists to pick from, fields left empty.

The help under a title is the parameter's line in its flow's docstring; it is rendered as markdown.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from slipway import catalogue
from slipway.settings import Settings
from slipway.validation.texts import require_text


class _OfTheCatalogue:
    """Lets a form offer the catalogue's models; read when the form's schema is made."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema of a text, with the texts to pick from."""
        return {
            **handler(schema),
            "enum": list(catalogue.load(Settings().catalogue, warn=catalogue.ignore)),
        }


class _OfTheSettings:
    """Lets a form offer the environments of the settings; read when the form's schema is made."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema of a text, with the texts to pick from if there are any."""
        known = list(Settings().environments)
        return {**handler(schema), **({"enum": known} if known else {})}


def titled(title: str, **schema: Any) -> FieldInfo:
    """Return what gives a parameter a title for people; Prefect would show its name in code."""
    info: FieldInfo = Field(json_schema_extra={"title": title, **schema})
    return info


def _encodable(text: object, parameter: ValidationInfo) -> object:
    """Refuse half a character, which JSON can hold, before anything is logged with it."""
    require_text(parameter.field_name or "a parameter", text)
    return text


_WholeText = Annotated[str, BeforeValidator(_encodable)]
Model = Annotated[_WholeText, _OfTheCatalogue(), titled("Model")]

TargetEnvironment = Annotated[_WholeText, _OfTheSettings(), titled("Environment")]

#: What is built: the recipe as the catalogue has it, or one candidate of this precision alone.
Recipe = Annotated[Literal["as in the catalogue", "int4", "int8", "fp32"], titled("What to build")]

#: A text with something in it: spaces are not a reason. Stated before the validator of whole texts,
#: behind which a pattern is missing in the form's schema.
_AnyText = Annotated[str, Field(pattern=r"\S", max_length=500)]
Reason = Annotated[_AnyText, BeforeValidator(_encodable), titled("Reason")]

# Prefect shows what may be None as two tabs, "str" and "None", and refuses the None that it sends
# for a field left empty. So forms know a text and a number that begin with what stands for None.

_Text = Annotated[_WholeText | None, WithJsonSchema({"type": "string"})]
OptionalReason = Annotated[_Text, titled("Reason", default="")]
Ref = Annotated[_Text, titled("Branch, tag or commit", default="")]

#: A version of the registry; 0 or None for the one that the flow finds by itself.
_Number = Annotated[int | None, Field(ge=0), WithJsonSchema({"type": "integer", "minimum": 0})]
FailedVersion = Annotated[_Number, titled("Version that failed", default=0)]
PreviousVersion = Annotated[_Number, titled("Version to go back to", default=0)]
WaitingVersion = Annotated[_Number, titled("Version", default=0)]
