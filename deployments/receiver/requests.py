"""Reads a request of an unknown sender within limits of size, time and form."""

import asyncio
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException

from slipway.watch import webhooks

LONGEST_BYTES = 256 * 1024
READ_SECONDS = 5.0

Payload = TypeVar("Payload", bound=BaseModel)


class Fault(BaseModel):
    """The body of an error response: what is wrong, in a few words, and what to do."""

    model_config = ConfigDict(extra="forbid")

    error: str
    advice: str


class RequestRejected(HTTPException):
    """Ends a request with an error response, which repeats nothing that was sent."""

    def __init__(self, status: int, error: str, advice: str) -> None:
        super().__init__(status, error)
        self.advice = advice


def require_json(request: Request) -> None:
    """Check the content type before the body is read.

    Raises:
        RequestRejected: With 415.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestRejected(415, "wrong content type", "send application/json")


async def read(request: Request) -> bytes:
    """Return the body.

    Raises:
        RequestRejected: With 413 if it is too large, with 408 if it takes too long.
    """
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > LONGEST_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LONGEST_BYTES:
                    raise _too_large()
    except TimeoutError as error:
        advice = f"send it within {READ_SECONDS:.0f} s"
        raise RequestRejected(408, "body too slow", advice) from error
    return bytes(body)


def parse(body: bytes, kind: type[Payload]) -> Payload:
    """Return the body as a payload.

    Raises:
        RequestRejected: With 400 if it is not JSON, with 422 if it is another document.
    """
    try:
        document = webhooks.parse(body)
    except ValueError as error:
        advice = f"send plain JSON in UTF-8, at most {webhooks.DEEPEST} levels deep"
        raise RequestRejected(400, "not JSON", advice) from error
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        advice = f"see {kind.__name__} in /openapi.json"
        raise RequestRejected(422, "not a payload of this sender", advice) from error


def _too_large() -> RequestRejected:
    return RequestRejected(413, "body too large", f"send at most {LONGEST_BYTES} bytes")
