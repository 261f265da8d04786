"""What every request passes between uvicorn and the routes: start and stop, limits, counting."""

import asyncio
import re
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway.errors import NotServing
from slipway.serving.api_errors import ApiError, as_api_error
from slipway.serving.request_record import RequestRecord
from slipway.serving.service import ModelService
from slipway.system.connections import is_for

BODY_BYTES = 1 << 20
BODY_SECONDS = 20.0
VERSION_HEADER = b"x-model-version"

_ORIGINS_SETTING = "SLIPWAY_ALLOWED_ORIGINS"


#: What scripts of other origins may read, besides the headers that every browser shows.
_EXPOSED_HEADERS = ("x-model-version", "retry-after", "x-should-retry")


class CrossOrigin(CORSMiddleware):
    """Lets web pages of the allowed origins use this server, and tells all others what to set.

    Browsers ask first (preflight). Without an answer they send no request with a JSON body.
    """

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("*",),
            allow_private_network=True,  # a public page may then use a server on loopback
            expose_headers=_EXPOSED_HEADERS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return the response to a browser that asks what its page may send."""
        if not self.is_allowed_origin(origin := request_headers["origin"]):
            text = f"pages of {origin:.80} may not use this server; add it to {_ORIGINS_SETTING}"
            return ApiError(403, text, code="origin_not_allowed").response()
        return super().preflight_response(request_headers)


class RequestLimits:
    """An ASGI application that refuses requests to other servers, and bodies beyond the limits.

    Args:
        inner: Receives all other requests.
        hosts: Names of this server.
    """

    def __init__(self, inner: ASGIApp, hosts: frozenset[str]) -> None:
        self._inner = inner
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request."""
        if fault := self._fault(scope):
            await as_api_error(fault).response()(scope, receive, send)
        else:
            await self._inner(scope, _limited(receive), send)

    def _fault(self, scope: Scope) -> HTTPException | None:
        """Return why a request is refused for its head alone."""
        if not is_for(scope, self._hosts):
            advice = "set SLIPWAY_ALLOWED_HOSTS to the name under which the server is reached"
            return HTTPException(421, f"the Host header names another server; {advice}")
        return _too_large() if _declared_bytes(scope) > BODY_BYTES else None


class RequestMiddleware:
    """An ASGI application around the routes.

    Args:
        inner: The routes.
        service: Started before the first request, stopped after the last.
        hosts: Names of this server.
    """

    def __init__(self, inner: ASGIApp, service: ModelService, hosts: frozenset[str]) -> None:
        self._limits = RequestLimits(inner, hosts)
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._respond(as_routed(scope), receive, send)

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
        await self._service.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with the version in a header, and count the response."""
        record = RequestRecord()
        scope["state"] = {**scope.get("state", {}), "record": record}

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                version = (VERSION_HEADER, str(self._service.pointer.version).encode())
                message["headers"] = [*message.get("headers", ()), version]
            await send(message)

        try:
            await self._limits(scope, receive, send_counted)
        finally:
            route: Any = scope.get("route")
            record.end(getattr(route, "path", "other"))
            self._service.ended(record, Headers(scope=scope))


def as_routed(scope: Scope) -> Scope:
    """Return a request as the routes know it.

    Clients join a base URL and a path with one slash too many. HEAD is GET without the body, which
    uvicorn leaves out.
    """
    path = re.sub("/+", "/", scope["path"]).rstrip("/") or "/"
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return {**scope, "path": path, "method": method}


def _declared_bytes(scope: Scope) -> int:
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    return int(declared) if declared.isdigit() else 0


def _limited(receive: Receive) -> Receive:
    """Return a ``receive`` that refuses a body beyond the limits of size and time."""
    received, is_whole = 0, False
    deadline = asyncio.get_running_loop().time() + BODY_SECONDS

    async def counting() -> Message:
        nonlocal received, is_whole
        try:
            async with asyncio.timeout_at(None if is_whole else deadline):
                message = await receive()
        except TimeoutError as error:
            text = f"the body took longer than {BODY_SECONDS:.0f} s"
            raise HTTPException(408, text, {"connection": "close"}) from error
        received += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if received > BODY_BYTES:
            raise _too_large()
        return message

    return counting


def _too_large() -> HTTPException:
    return HTTPException(413, f"the body is larger than {BODY_BYTES} bytes")
