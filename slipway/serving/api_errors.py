"""Errors in the form that OpenAI's clients expect: ``{"error": {message, type, param, code}}``."""

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
#: Of a fault that will soon be over; seconds.
RETRY: Mapping[str, str] = MappingProxyType({"Retry-After": "2"})
#: For OpenAI's clients: a retry would take as long, or end the engine again.
NO_RETRY: Mapping[str, str] = MappingProxyType({"x-should-retry": "false"})
_PLACE_CHARACTERS = 80
_TYPES = {404: "not_found_error", 429: "rate_limit_error"}
_TYPES_OF_CODES = {"rate_limit_exceeded": "requests"}
_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    408: "body_too_slow",
    413: "request_too_large",
    421: "host_not_allowed",
}


class ErrorFields(Value):
    """OpenAI's error object; ``param`` is the field of the request that caused it."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(Value):
    """The body of every response with an error status."""

    error: ErrorFields


class ApiError(Exception):
    """A response with an error status."""

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
        default = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004
        kind = _TYPES_OF_CODES.get(code or "") or _TYPES.get(status, default)
        self.fields = ErrorFields(message=message, type=kind, param=param, code=code)
        self.headers = headers

    @property
    def body(self) -> str:
        """The body as ASCII JSON: the message may quote half of a surrogate pair."""
        return json.dumps({"error": self.fields.model_dump()})

    def response(self) -> Response:
        """Return the HTTP response."""
        return Response(self.body, self.status, dict(self.headers), "application/json")


class Unsupported(ValueError):
    """A field of a request that this server does not know or does not support.

    Args:
        fault: What to say after the field's place.
        param: The field, from the object that is validated; None for that object.
        code: OpenAI's.
    """

    def __init__(self, fault: str, param: str | None, code: str) -> None:
        super().__init__(fault)
        self.param = param
        self.code = code


def as_api_error(error: Exception) -> ApiError:
    """Return what a client receives for ``error``; unexpected errors are logged."""
    match error:
        case ApiError():
            found = error
        case NotServing():
            found = ApiError(503, str(error), code="model_not_ready", headers=RETRY)
        case QueueFull():
            text = "too many requests are waiting for the model; try again later"
            found = ApiError(429, text, code="queue_full", headers=RETRY)
        case TimeoutError():
            found = ApiError(504, "the answer took too long", code="timeout", headers=NO_RETRY)
        case HTTPException():
            code, sent = _CODES.get(error.status_code), error.headers or _NONE
            found = ApiError(error.status_code, str(error.detail), code=code, headers=sent)
        case RequestValidationError():
            found = _invalid(error.errors())
        case _:
            logging.getLogger("uvicorn.error").error("internal error", exc_info=error)
            text = "internal error; the server's log has the traceback"
            found = ApiError(500, text, code="internal_error")
    return found


def add_error_handlers(app: FastAPI) -> None:
    """Make ``app`` answer every error in OpenAI's form, and describe 400 in place of 422."""

    async def answer(_request: Request, error: Exception) -> Response:
        return as_api_error(error).response()

    async def name_methods(request: Request, error: Any) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=error.headers)
        return as_api_error(error).response()

    for kind in (ApiError, NotServing, QueueFull, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(405, name_methods)
    for path in app.openapi()["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)


def _invalid(faults: Any) -> ApiError:
    """Return the error for the first fault of a request's body."""
    fault = faults[0]
    if fault["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {fault['ctx']['error']}", code="invalid_json")
    raised = fault.get("ctx", {}).get("error")
    if isinstance(raised, Unsupported):
        param = ".".join(each for each in (_place(fault), raised.param) if each) or None
        return ApiError(400, f"{_shown(param)} {raised}", param=param, code=raised.code)
    param = _deepest_place(faults)
    messages = dict.fromkeys(each["msg"] for each in faults if _place(each) == param)
    message = f"{_shown(param)}: {' or '.join(messages)}"
    return ApiError(400, message, param=param, code="invalid_value")


def _shown(param: str | None) -> str:
    return (param or "the body")[:_PLACE_CHARACTERS]


def _deepest_place(faults: Any) -> str | None:
    """Return the first fault's place, or the deepest below it.

    Where a field may be one thing or another, each of them has a fault. The one that a client means
    is the one that was understood furthest.
    """
    first = _place(faults[0])
    places = [place for each in faults if (place := _place(each))]
    below = [each for each in places if first and f"{each}.".startswith(f"{first}.")]
    return max(below, key=lambda place: place.count("."), default=first)


def _place(fault: Any) -> str | None:
    """Return a fault's place, without the names that pydantic gives to a union's branches."""
    _, *places = (str(each) for each in fault["loc"])
    return ".".join(each for each in places if each != "str" and not set(each) & set("[-")) or None
