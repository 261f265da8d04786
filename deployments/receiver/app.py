"""The receiver as an application: its routes and its error responses."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope
from starlette.types import Send as SendMessage

from deployments.receiver.hooks import Hooks, ReceiverSettings
from deployments.receiver.outbox import Outbox, Send, send
from deployments.receiver.requests import Fault, RequestRejected
from slipway.system.connections import is_for
from slipway.system.network import hosts_of
from slipway.watch.webhooks import HubPayload, MlflowPayload

_logger = logging.getLogger(__name__)


class Health(BaseModel):
    """The receiver runs; whether a secret is configured for either sender."""

    status: str
    hub: bool
    mlflow: bool


class HostCheck:
    """An ASGI application that refuses requests whose ``Host`` header names another server."""

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http" and not is_for(scope, self._allowed):
            fault = Fault(error="host not allowed", advice="set SLIPWAY_ALLOWED_HOSTS to its name")
            await JSONResponse(fault.model_dump(), 421)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def create_app(settings: ReceiverSettings, send: Send = send) -> FastAPI:
    """Return the receiver; ``send`` sends one event to Prefect."""
    outbox = Outbox(send)

    @asynccontextmanager
    async def sending(_app: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(outbox.run())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    app = FastAPI(
        title="Slipway's webhooks",
        lifespan=sending,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirected client would send the secret once more
    )
    hosts = hosts_of(settings, "receiver")
    app.add_middleware(HostCheck, allowed=hosts)
    app.include_router(Hooks(settings, outbox).router)

    @app.head("/health", include_in_schema=False)
    @app.get("/health")
    def health() -> Health:
        """Report that the receiver runs, and which senders it accepts."""
        return Health(
            status="ok",
            hub=settings.hub_webhook_secret is not None,
            mlflow=settings.mlflow_webhook_secret is not None,
        )

    _add_error_handlers(app)
    _describe_bodies(app)
    return app


def _add_error_handlers(app: FastAPI) -> None:
    """Respond to every error with a small document that repeats nothing of the request."""

    @app.exception_handler(HTTPException)
    async def rejected(request: Request, error: HTTPException) -> JSONResponse:
        fault = Fault(error=error.detail, advice="see /openapi.json")
        if isinstance(error, RequestRejected):
            fault = Fault(error=error.detail, advice=error.advice)
            _logger.info("%s %d: %s", request.url.path, error.status_code, error.detail)
        return JSONResponse(fault.model_dump(), error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def disconnected(_request: Request, _error: ClientDisconnect) -> JSONResponse:
        fault = Fault(error="body cut off", advice="send the whole body")
        return JSONResponse(fault.model_dump(), 400)


def _describe_bodies(app: FastAPI) -> None:
    """Add the bodies to the OpenAPI document: the routes read them without FastAPI."""
    schemas = app.openapi()["components"]["schemas"]
    for payload in (HubPayload, MlflowPayload):
        schema = payload.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[payload.__name__] = schema
