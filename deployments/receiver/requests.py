"""Reads a request that anybody may have sent, and gives up early."""

import asyncio
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from slipway.watch import webhooks

LONGEST_BYTES = 256 * 1024
READ_SECONDS = 5.0

Payload = TypeVar("Payload", bound=BaseModel)


class Fault(BaseModel):
    """Why a request was refused.

    Attributes:
        error: What is wrong, in a few words.
        advice: What to do about it.
    """

    model_config = ConfigDict(extra="forbid")

    error: str
    advice: str


class RequestRejected(Exception):
    """Ends a request with an answer.

    Args:
        status: HTTP status.
        error: What is wrong, in a few words; never anything that was sent.
        advice: What to do about it.
    """

    def __init__(self, status: int, error: str, advice: str) -> None:
        super().__init__(status, error, advice)
        self.status = status
        self.fault = Fault(error=error, advice=advice)


def require_json(request: Request) -> None:
    """Refuse a body of another type, before it is read.

    Raises:
        Refused: With 415.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestRejected(415, "wrong content type", "send application/json")


async def read(request: Request) -> bytes:
    """Return the body, if it is short and comes soon.

    Raises:
        Refused: With 413 or 408.
    """
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > LONGEST_BYTES:
        raise RequestRejected(413, "body too large", f"send at most {LONGEST_BYTES} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LONGEST_BYTES:
                    raise RequestRejected(
                        413, "body too large", f"send at most {LONGEST_BYTES} bytes"
                    )
    except TimeoutError as error:
        raise RequestRejected(
            408, "body too slow", f"send it within {READ_SECONDS:.0f} s"
        ) from error
    return bytes(body)


def parse(body: bytes, kind: type[Payload]) -> Payload:
    """Return the body as a payload.

    Raises:
        Refused: With 400 if it is no JSON, with 422 if it is JSON of something else.
    """
    try:
        document = webhooks.parse(body)
    except ValueError as error:
        advice = f"send plain JSON in UTF-8, at most {webhooks.DEEPEST} levels deep"
        raise RequestRejected(400, "not JSON", advice) from error
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise RequestRejected(
            422, "not a payload of this sender", f"see {kind.__name__}"
        ) from error
