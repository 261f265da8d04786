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

from deployments.receiver.hooks import Hooks, ReceiverSettings
from deployments.receiver.outbox import Outbox, Send, send
from deployments.receiver.requests import Fault, RequestRejected
from slipway.watch.webhooks import HubPayload, MlflowPayload

_logger = logging.getLogger(__name__)


class Health(BaseModel):
    """The state of the receiver.

    Attributes:
        status: Always ``ok``.
        hub: Whether a secret is configured for the Hub.
        mlflow: Whether a secret is configured for MLflow.
    """

    status: str
    hub: bool
    mlflow: bool


def create_app(settings: ReceiverSettings, send: Send = send) -> FastAPI:
    """Return the receiver.

    Args:
        settings: Secrets, and the place of the catalogue.
        send: Sends one event to Prefect.
    """
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
    app.include_router(Hooks(settings, outbox).router)

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
