"""The routes, and the application that a worker of uvicorn runs."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask
from starlette.types import ASGIApp, Receive

from slipway.serving.api_errors import ApiError, ErrorBody, add_error_handlers
from slipway.serving.loading import COPIES
from slipway.serving.middleware import RequestMiddleware
from slipway.serving.protocol import Load, TextDelta, read_pointer
from slipway.serving.requests import ChatRequest, CompletionRequest
from slipway.serving.responses import (
    ChatCompletion,
    Completion,
    EventStream,
    Form,
    ModelCard,
    ModelList,
    Ready,
    UsageCounter,
    header,
    whole,
)
from slipway.serving.service import ModelService, RequestLimits
from slipway.settings import Settings
from slipway.system import process
from slipway.tracking.location import mlflow_location

#: Environment variable that names the pointer file.
POINTER = "SLIPWAY_SERVING_POINTER"

Result = TypeVar("Result")
Answer = ChatCompletion | Completion | Response

routes = APIRouter()

_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": ErrorBody}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}},
    **{status: {"model": ErrorBody} for status in (400, 404, 413, 429, 503, 504)},
}


class ClientLeft(Exception):
    """The client closed its connection before the answer was complete."""


async def _service(request: Request) -> ModelService:
    service: ModelService = request.app.state.service
    return service


Service = Annotated[ModelService, Depends(_service)]


@routes.post(
    "/v1/chat/completions", response_model=ChatCompletion, responses=_RESPONSES, tags=["model"]
)
async def chat_completions(body: ChatRequest, request: Request, service: Service) -> Answer:
    """Answer a conversation."""
    return await _answer("chat", body, request, service)


@routes.post("/v1/completions", response_model=Completion, responses=_RESPONSES, tags=["model"])
async def completions(body: CompletionRequest, request: Request, service: Service) -> Answer:
    """Answer one text or several."""
    return await _answer("text", body, request, service)


@routes.get("/v1/models", tags=["model"])
async def models(service: Service) -> ModelList:
    """List the served model."""
    return ModelList(data=[_card(service)])


@routes.get("/v1/models/{model}", responses={404: {"model": ErrorBody}}, tags=["model"])
async def model(model: str, service: Service) -> ModelCard:
    """Describe the served model."""
    _require_model(model, service)
    return _card(service)


@routes.get("/health", tags=["server"])
async def health() -> dict[str, str]:
    """Report that this worker answers, whatever the state of its model."""
    return {"status": "ok"}


@routes.get("/ready", responses=_NOT_READY, tags=["server"])
async def ready(service: Service) -> Ready:
    """Report the version that this worker serves, or why it serves none."""
    loaded, pointer = service.engine.require(), service.pointer
    return Ready(
        model=pointer.model, version=pointer.version, digest=loaded.digest, pid=os.getpid()
    )


@routes.get("/metrics", response_class=Response, tags=["server"])
async def metrics(service: Service) -> Response:
    """Return the metrics of all workers in Prometheus's text format."""
    return Response(service.metrics.page(), media_type=service.metrics.content_type)


def create() -> ASGIApp:
    """Return the application for the version that the pointer file names now."""
    settings = Settings()
    pointer = read_pointer(Path(os.environ[POINTER]))
    limits = RequestLimits(
        queue=settings.serving_queue,
        max_tokens=settings.serving_max_tokens,
        request_seconds=settings.serving_request_seconds,
    )
    process.die_with_parent(signal.SIGTERM)
    copies = settings.home.resolve() / "serving" / pointer.model / COPIES
    load = Load(location=mlflow_location(settings), pointer=pointer, copies=copies)
    service = ModelService(load, limits)
    app = FastAPI(title=f"Slipway: {pointer.model}", docs_url=None, redoc_url=None)
    app.state.service = service
    app.include_router(routes)
    add_error_handlers(app)
    return RequestMiddleware(app, service)


async def _answer(
    form: Form, body: ChatRequest | CompletionRequest, request: Request, service: ModelService
) -> Answer:
    _require_model(body.model, service)
    default = service.engine.require().max_tokens
    job = service.engine.submit(body.order(default=default, limit=service.limits.max_tokens))
    counter = UsageCounter(job.order.n)
    deltas = service.answer(job, counter, request.scope["route"].path)
    fields = header(form, body.model, service.fingerprint)
    try:
        if not body.stream:
            await _until_client_leaves(request.receive, _exhaust(deltas))
            return whole(form, fields, counter)
        # An error before the first delta is answered with its own status.
        first = await _until_client_leaves(request.receive, anext(deltas))
    except ClientLeft:
        return Response(status_code=499)

    async def cancel() -> None:
        job.cancel()

    stream = EventStream(form, fields, include_usage=body.include_usage)
    return StreamingResponse(
        stream.events(_beginning_with(first, deltas), counter),
        headers={"Cache-Control": "no-cache"},
        media_type="text/event-stream",
        background=BackgroundTask(cancel),  # also runs after the client has left
    )


async def _until_client_leaves(receive: Receive, work: Awaitable[Result]) -> Result:
    """Return the result of ``work``.

    Raises:
        ClientLeft: If the client left first; the work was cancelled.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.create_task(_disconnect(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeft
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _exhaust(deltas: AsyncIterator[TextDelta]) -> None:
    async for _ in deltas:
        pass


async def _beginning_with(
    first: TextDelta, rest: AsyncIterator[TextDelta]
) -> AsyncIterator[TextDelta]:
    yield first
    async for delta in rest:
        yield delta


def _require_model(name: str, service: ModelService) -> None:
    if name != service.pointer.model:
        text = f"model {name!r:.80} does not exist; this server has {service.pointer.model}"
        raise ApiError(404, text, param="model", code="model_not_found")


def _card(service: ModelService) -> ModelCard:
    loaded, pointer = service.engine.served, service.pointer
    return ModelCard(
        id=pointer.model,
        created=service.started,
        version=pointer.version,
        digest=loaded.digest if loaded else None,
    )
