"""What every object of a request has in common."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator

from slipway.serving.api_errors import Unsupported
from slipway.values.request_fields import Neutral, without_neutral


class RequestObject(BaseModel):
    """An object of a request: fields that ask for nothing are left out, unknown ones refused.

    Attributes:
        neutral: Which fields ask for nothing.
    """

    model_config = ConfigDict(extra="allow")

    neutral: ClassVar[Neutral] = {}

    @model_validator(mode="before")
    @classmethod
    def _leave_out_neutral_fields(cls, given: Any) -> Any:
        return without_neutral(given, cls.neutral) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _refuse_other_fields(self) -> Self:
        for field in self.model_extra or {}:
            if field in self.neutral:
                text = "is not supported by this server; leave it out"
                raise Unsupported(text, field, "unsupported_parameter")
            raise Unsupported("is an unknown parameter", field, "unknown_parameter")
        return self
