"""What every request passes between uvicorn and the routes: start and stop, limits, counting."""

import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway.errors import NotServing
from slipway.serving.api_errors import as_api_error
from slipway.serving.service import ModelService

BODY_BYTES = 1 << 20
VERSION_HEADER = b"x-model-version"


class RequestMiddleware:
    """An ASGI application around the routes.

    Args:
        inner: The routes.
        service: Started before the first request, stopped after the last.
    """

    def __init__(self, inner: ASGIApp, service: ModelService) -> None:
        self._inner = inner
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._respond(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start and stop the engine; a worker whose model cannot be loaded reports one line."""
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

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with the version in a header, and count the response."""
        started, status = time.monotonic(), 499  # the client left before there was a response

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                version = (VERSION_HEADER, str(self._service.pointer.version).encode())
                message["headers"] = [*message.get("headers", ()), version]
            await send(message)

        if _declared_bytes(scope) > BODY_BYTES:
            await as_api_error(_too_large()).response()(scope, receive, send_counted)
        else:
            await self._inner(scope, _limited(receive), send_counted)
        route: Any = scope.get("route")
        path = getattr(route, "path", "other")
        self._service.metrics.requests.labels(path, str(status)).inc()
        self._service.metrics.latency.labels(path).observe(time.monotonic() - started)


def _declared_bytes(scope: Scope) -> int:
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    return int(declared) if declared.isdigit() else 0


def _limited(receive: Receive) -> Receive:
    """Return a ``receive`` that refuses a body beyond the limit, whatever length was declared."""
    received = 0

    async def counting() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > BODY_BYTES:
            raise _too_large()
        return message

    return counting


def _too_large() -> HTTPException:
    return HTTPException(413, f"the body is larger than {BODY_BYTES} bytes")
