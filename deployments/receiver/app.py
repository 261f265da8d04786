"""The receiver as an application: its routes, and what it answers when something is wrong."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from deployments.receiver.hooks import Hooks
from deployments.receiver.outbox import Outbox, Send, send
from deployments.receiver.requests import Fault, RequestRejected
from deployments.receiver.settings import ReceiverSettings
from slipway.watch.webhooks import HubPayload, MlflowPayload

_logger = logging.getLogger(__name__)


class Health(BaseModel):
    """Whether the receiver can do its work.

    Attributes:
        status: ``ok``, since it answers.
        hub: Whether a secret is configured for the Hub.
        mlflow: Whether one is for MLflow.
    """

    status: str
    hub: bool
    mlflow: bool


def create_app(settings: ReceiverSettings, send: Send = send) -> FastAPI:
    """Return the receiver.

    Args:
        settings: Has the secrets and names the catalogue.
        send: Sends one event on.
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
        redirect_slashes=False,  # whoever follows would send the secret once more
    )
    app.include_router(Hooks(settings, outbox).router)

    @app.get("/health")
    def health() -> Health:
        """Say that the receiver runs, and whom it listens to."""
        return Health(
            status="ok",
            hub=settings.hub_webhook_secret is not None,
            mlflow=settings.mlflow_webhook_secret is not None,
        )

    _explain(app)
    _document(app)
    return app


def _explain(app: FastAPI) -> None:
    """Answer every error with a small document that has nothing of the request in it."""

    @app.exception_handler(RequestRejected)
    async def refused(request: Request, error: RequestRejected) -> JSONResponse:
        _logger.info("%s %d: %s", request.url.path, error.status, error.fault.error)
        return JSONResponse(error.fault.model_dump(), error.status)

    @app.exception_handler(HTTPException)
    async def known(_request: Request, error: HTTPException) -> JSONResponse:
        fault = Fault(error=error.detail, advice="see /openapi.json")
        return JSONResponse(fault.model_dump(), error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: ClientDisconnect) -> JSONResponse:
        fault = Fault(error="body cut off", advice="send all of it")
        return JSONResponse(fault.model_dump(), 400)


def _document(app: FastAPI) -> None:
    """Describe the bodies, which the routes read themselves, in the OpenAPI document."""
    schemas = app.openapi()["components"]["schemas"]
    for payload in (HubPayload, MlflowPayload):
        schema = payload.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[payload.__name__] = schema
