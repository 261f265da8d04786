"""Every error as OpenAI's clients expect it: ``{"error": {message, type, param, code}}``."""

import json
import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from slipway.errors import NotServing
from slipway.serving.engine import QueueFull
from slipway.values import Value

_NONE: Mapping[str, str] = MappingProxyType({})
_AGAIN = {"Retry-After": "2"}  # seconds
_TYPES = {
    404: "not_found_error",
    429: "rate_limit_error",
}
_CODES = {413: "request_too_large", 404: "not_found", 405: "method_not_allowed"}


class ErrorFields(Value):
    """What went wrong.

    Attributes:
        message: For people.
        type: Kind of error.
        param: Field of the request that it is about.
        code: For programs.
    """

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(Value):
    """The body of every answer that is no success."""

    error: ErrorFields


class ApiError(Exception):
    """An answer that is no success.

    Attributes:
        status: HTTP status.
        fields: The body.
        headers: Sent along.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] = _NONE,
    ) -> None:
        super().__init__(message)
        self.status = status
        fallback = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004
        kind = _TYPES.get(status, fallback)
        self.fields = ErrorFields(message=message, type=kind, param=param, code=code)
        self.headers = headers

    @property
    def body(self) -> str:
        """As JSON, in ASCII: a client's half of a surrogate pair may be quoted in it."""
        return json.dumps({"error": self.fields.model_dump()})

    def response(self) -> Response:
        """Return it as an answer."""
        return Response(self.body, self.status, dict(self.headers), "application/json")


def problem_of(error: Exception) -> ApiError:
    """Return the answer that ``error`` is to a client."""
    match error:
        case ApiError():
            found = error
        case NotServing():
            found = ApiError(503, str(error), code="model_not_ready", headers=_AGAIN)
        case QueueFull():
            text = "too many requests wait for the model; try again later"
            found = ApiError(429, text, code="queue_full", headers=_AGAIN)
        case TimeoutError():
            stay = {"x-should-retry": "false"}  # it would take as long again
            found = ApiError(504, "the answer took too long", code="timeout", headers=stay)
        case HTTPException():
            code, headers = _CODES.get(error.status_code), error.headers or _NONE
            found = ApiError(error.status_code, str(error.detail), code=code, headers=headers)
        case RequestValidationError():
            found = _invalid(error.errors())
        case _:
            logging.getLogger("uvicorn.error").error("a defect of the server", exc_info=error)
            found = ApiError(500, "the server has a defect; its log tells", code="internal_error")
    return found


def install(app: FastAPI) -> None:
    """Let ``app`` answer every error in this form."""

    async def answer(_request: Request, error: Exception) -> Response:
        return problem_of(error).response()

    for kind in (ApiError, NotServing, QueueFull, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer)


def _invalid(faults: Any) -> ApiError:
    """Return the first fault of a request's body."""
    fault = faults[0]
    if fault["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {fault['ctx']['error']}", code="invalid_json")
    raised = fault.get("ctx", {}).get("error")
    if isinstance(raised, Unsupported):
        return ApiError(400, str(raised), param=raised.param, code=raised.code)
    param = _field(fault)
    same = dict.fromkeys(each["msg"] for each in faults if _field(each) == param)
    message = f"{param or 'the body'}: {' or '.join(same)}"
    return ApiError(400, message, param=param, code="invalid_value")


def _field(fault: Any) -> str | None:
    """Return where a fault is, without the names that pydantic gives to the branches of a union."""
    _, *places = (str(each) for each in fault["loc"])
    return ".".join(each for each in places if each != "str" and not set(each) & set("[-")) or None


class Unsupported(ValueError):
    """A field that this server does not know, or that it cannot obey.

    Attributes:
        param: The field.
        code: ``unknown_parameter`` or ``unsupported_parameter``.
    """

    def __init__(self, message: str, param: str, code: str) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
