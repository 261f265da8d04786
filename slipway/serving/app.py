"""The routes, and the application that a worker of uvicorn runs."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.types import ASGIApp

from slipway.serving import loading
from slipway.serving.api_errors import ErrorBody, add_error_handlers
from slipway.serving.api_keys import Keyring, is_exposed
from slipway.serving.client_left import ClientLeft, until_client_leaves
from slipway.serving.engine import EngineLimits
from slipway.serving.key_check import KeyCheck, key_of, new_counter, require_allowed
from slipway.serving.middleware import CrossOrigin, RequestMiddleware
from slipway.serving.model_names import AskedModel
from slipway.serving.page import Beside, beside, page
from slipway.serving.protocol import TextDelta, read_pointer
from slipway.serving.request_rate import RequestRates
from slipway.serving.request_record import RequestRecord
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
from slipway.serving.service import ModelService
from slipway.settings import Settings
from slipway.system import process
from slipway.system.network import hosts_of, listed

#: Environment variable that names the pointer file.
POINTER = "SLIPWAY_SERVING_POINTER"

Answer = ChatCompletion | Completion | Response

routes = APIRouter()

_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": ErrorBody}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}},
    **{
        status: {"model": ErrorBody}
        for status in (400, 401, 403, 404, 408, 413, 429, 500, 503, 504)
    },
}


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
async def models(request: Request, service: Service) -> ModelList:
    """List the served model, if the request's key may use it."""
    key = key_of(request.scope)
    is_listed = key is None or key.allows(service.pointer.model)
    return ModelList(data=[_card(service)] if is_listed else [])


@routes.get("/v1/models/{model}", responses={404: {"model": ErrorBody}}, tags=["model"])
async def model(model: str, request: Request, service: Service) -> ModelCard:
    """Describe the served model."""
    _require_model(model, request, service)
    return _card(service)


@routes.get("/", response_class=HTMLResponse, tags=["page"])
async def chat_page() -> Response:
    """Return the page that chats with the served version."""
    return page(beside(_folder()))


@routes.get("/beside", tags=["page"])
async def others() -> tuple[Beside, ...]:
    """List the servers of other versions that the page shows side by side with this one."""
    return beside(_folder())


@routes.get("/health", tags=["server"])
async def health() -> dict[str, str]:
    """Report that this worker answers, whatever the state of its model."""
    return {"status": "ok"}


@routes.get("/ready", responses=_NOT_READY, tags=["server"])
async def ready(service: Service) -> Ready:
    """Report the version that this worker serves, or why it serves none; its engine must live."""
    loaded, pointer = service.engine.require_life(), service.pointer
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
    memory_gb = settings.serving_memory_gb
    limits = EngineLimits(
        rows=settings.serving_rows,
        queue=settings.serving_queue,
        max_tokens=settings.serving_max_tokens,
        request_seconds=settings.serving_request_seconds,
        silence_seconds=settings.serving_silence_seconds,
        memory_bytes=int(memory_gb * 1e9) if memory_gb else None,
    )
    process.die_with_parent(signal.SIGTERM)
    service = ModelService(pointer, loading.source(pointer, settings), limits)
    app = FastAPI(
        title=f"Slipway: {pointer.model}", docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.service = service
    app.include_router(routes)
    add_error_handlers(app)
    hosts = hosts_of(settings, "serving")
    keyring = Keyring(settings, is_exposed=is_exposed())
    checked = KeyCheck(app, keyring, RequestRates(settings.rates_folder), new_counter())
    pages = CrossOrigin(checked, listed(settings.allowed_origins))
    return RequestMiddleware(pages, service, hosts)


async def _answer(
    form: Form, body: ChatRequest | CompletionRequest, request: Request, service: ModelService
) -> Answer:
    _require_model(body.model, request, service)
    loaded, limit = service.engine.require(), service.limits.max_tokens
    fields = header(form, body.model, service.fingerprint)
    order = body.order(default=loaded.max_tokens, limit=limit, support=loaded.tools)
    job = service.engine.submit(order)
    counter, names = UsageCounter(job.order.n), body.names_of_tools
    record: RequestRecord = request.state.record
    deltas = service.answer(job, counter, record, body.guidance_place)
    try:
        if not body.stream:
            await until_client_leaves(request.receive, _exhaust(deltas))
            return whole(form, fields, counter, names)
        # An error before the first delta is answered with its own status.
        first = await until_client_leaves(request.receive, anext(deltas))
    except ClientLeft:
        return Response(status_code=499)

    async def cancel() -> None:
        job.cancel()

    stream = EventStream(form, fields, include_usage=body.include_usage, names=names)
    return StreamingResponse(
        stream.events(_beginning_with(first, deltas), counter),
        headers={"Cache-Control": "no-cache"},
        media_type="text/event-stream",
        background=BackgroundTask(cancel),  # also runs after the client has left
    )


async def _exhaust(deltas: AsyncIterator[TextDelta]) -> None:
    async for _ in deltas:
        pass


async def _beginning_with(
    first: TextDelta, rest: AsyncIterator[TextDelta]
) -> AsyncIterator[TextDelta]:
    yield first
    async for delta in rest:
        yield delta


def _folder() -> Path:
    """Return the folder of this server."""
    return Path(os.environ[POINTER]).parent


def _require_model(name: str, request: Request, service: ModelService) -> None:
    asked, served = AskedModel.of(name), service.pointer
    asked.require_one_of([served.model])
    require_allowed(request.scope, served.model)
    asked.require_version(served.version)


def _card(service: ModelService) -> ModelCard:
    loaded, pointer = service.engine.served, service.pointer
    return ModelCard(
        id=pointer.model,
        created=service.started,
        version=pointer.version,
        digest=loaded.digest if loaded else None,
    )
