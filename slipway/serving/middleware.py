"""What stands between uvicorn and the routes: start and end, limits, headers, counts."""

import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway.errors import NotServing
from slipway.serving.api_errors import problem_of
from slipway.serving.metrics import Metrics
from slipway.serving.service import ModelService

BODY_BYTES = 1 << 20
VERSION_HEADER = b"x-model-version"


class RequestMiddleware:
    """An ASGI application around the routes.

    Args:
        inner: The routes.
        service: What they serve; it is started before the first request and stopped after the last.
    """

    def __init__(self, inner: ASGIApp, service: ModelService) -> None:
        self._inner = inner
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start and stop with uvicorn; answer its requests."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start and stop; a model that cannot be loaded keeps the worker from becoming healthy."""
        await receive()
        try:
            await self._service.engine.start()
        except NotServing as error:
            await send({"type": "lifespan.startup.failed", "message": f"slipway: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._service.engine.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        counted = _Counted(scope, send, self._service)
        if _declared_bytes(scope) > BODY_BYTES:
            response = problem_of(_too_large()).response()
            await response(scope, receive, counted.send)
        else:
            await self._inner(scope, _limited(receive), counted.send)
        counted.close()


class _Counted:
    """Adds the version to the headers of an answer, and the answer to the figures."""

    def __init__(self, scope: Scope, send: Send, service: ModelService) -> None:
        self._scope, self._send = scope, send
        self._metrics: Metrics = service.metrics
        self._version = str(service.pointer.version).encode()
        self._status = 499  # the client left before there was one
        self._started = time.monotonic()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message.get("headers", ()), (VERSION_HEADER, self._version)]
        await self._send(message)

    def close(self) -> None:
        route: Any = self._scope.get("route")
        path = getattr(route, "path", "other")
        self._metrics.requests.labels(path, str(self._status)).inc()
        self._metrics.latency.labels(path).observe(time.monotonic() - self._started)


def _declared_bytes(scope: Scope) -> int:
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    return int(declared) if declared.isdigit() else 0


def _limited(receive: Receive) -> Receive:
    """Return ``receive`` for a body that may not grow beyond the limit, whatever was declared."""
    seen = 0

    async def counting() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > BODY_BYTES:
            raise _too_large()
        return message

    return counting


def _too_large() -> HTTPException:
    return HTTPException(413, f"the body is larger than {BODY_BYTES} bytes")
