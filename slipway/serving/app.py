"""The routes, and the application that a worker of uvicorn runs."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from slipway.serving import api_errors, pointer
from slipway.serving.api_errors import ApiError, ErrorBody
from slipway.serving.completions import Form, Stream, UsageCounter, whole
from slipway.serving.engine import Job
from slipway.serving.middleware import RequestMiddleware
from slipway.serving.model_cache import FOLDER
from slipway.serving.protocol import Load, TextDelta
from slipway.serving.schemas import (
    ChatCompletion,
    ChatRequest,
    Completion,
    CompletionRequest,
    ModelCard,
    ModelList,
    Ready,
    header,
)
from slipway.serving.service import ModelService, RequestLimits
from slipway.settings import Settings
from slipway.system import process
from slipway.tracking.location import mlflow_location

#: Environment variable that tells a worker where the pointer file is.
POINTER = "SLIPWAY_SERVING_POINTER"

Found = TypeVar("Found")

routes = APIRouter()

_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": ErrorBody}}
_ERRORS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}},
    **{status: {"model": ErrorBody} for status in (400, 404, 413, 429, 503, 504)},
}


class ClientLeft(Exception):
    """Nobody reads the answer."""


class EventStream(Response):
    """An answer that is sent as it is made, and given up when its client leaves."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], job: Job) -> None:
        super().__init__(headers={"Cache-Control": "no-cache"})
        del self.headers["content-length"]
        self._events = events
        self._job = job

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send every event."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        try:
            with suppress(ClientLeft):
                await until_gone(receive, self._send(send))
        finally:
            self._job.cancel()

    async def _send(self, send: Send) -> None:
        async for event in self._events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@routes.post(
    "/v1/chat/completions", response_model=ChatCompletion, responses=_ERRORS, tags=["model"]
)
async def chat_completions(asked: ChatRequest, request: Request) -> Response:
    """Answer a conversation."""
    return await _answer("chat", asked, request)


@routes.post("/v1/completions", response_model=Completion, responses=_ERRORS, tags=["model"])
async def completions(asked: CompletionRequest, request: Request) -> Response:
    """Answer one text or several."""
    return await _answer("text", asked, request)


@routes.get("/v1/models", tags=["model"])
async def models(request: Request) -> ModelList:
    """List the one model that is served."""
    return ModelList(data=[_card(_service(request))])


@routes.get("/v1/models/{model}", responses={404: {"model": ErrorBody}}, tags=["model"])
async def model(model: str, request: Request) -> ModelCard:
    """Describe the model that is served."""
    service = _service(request)
    _require_model(model, service)
    return _card(service)


@routes.get("/health", tags=["server"])
async def health() -> dict[str, str]:
    """Tell that this worker answers, whatever its model does."""
    return {"status": "ok"}


@routes.get("/ready", responses=_NOT_READY, tags=["server"])
async def ready(request: Request) -> Ready:
    """Tell which version this worker serves, or why it serves none."""
    service = _service(request)
    served, aim = service.engine.require(), service.pointer
    return Ready(model=aim.model, version=aim.version, digest=served.digest, pid=os.getpid())


@routes.get("/metrics", response_class=Response, tags=["server"])
async def metrics(request: Request) -> Response:
    """Return the figures of all workers for Prometheus."""
    found = _service(request).metrics
    return Response(found.page(), media_type=found.content_type)


def create() -> ASGIApp:
    """Return the application for the version that the pointer names now."""
    settings = Settings()
    aim = pointer.read(Path(os.environ[POINTER]))
    limits = RequestLimits(
        queue=settings.serving_queue,
        max_tokens=settings.serving_max_tokens,
        request_seconds=settings.serving_request_seconds,
    )
    process.die_with_parent(signal.SIGTERM)
    copies = settings.home.resolve() / "serving" / aim.model / FOLDER
    load = Load(place=mlflow_location(settings), pointer=aim, copies=copies)
    return application(ModelService(load, limits))


def application(service: ModelService) -> ASGIApp:
    """Return the routes over ``service``, with everything around them."""
    app = FastAPI(title=f"Slipway: {service.pointer.model}", docs_url=None, redoc_url=None)
    app.state.service = service
    app.include_router(routes)
    api_errors.install(app)
    _describe_refusals(app)
    return RequestMiddleware(app, service)


async def until_gone(receive: Receive, work: Awaitable[Found]) -> Found:
    """Return what ``work`` gives.

    Raises:
        ClientLeft: If the client left before; the work is cancelled by then.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeft
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(form: Form, asked: ChatRequest | CompletionRequest, request: Request) -> Response:
    service = _service(request)
    _require_model(asked.model, service)
    usual = service.engine.require().max_tokens
    job = service.engine.submit(asked.ask(usual=usual, most=service.limits.max_tokens))
    tally = UsageCounter()
    said = service.answer(job, tally, request.scope["route"].path)
    kind = {"chat": "chat.completion", "text": "text_completion"}[form]
    try:
        if asked.stream:
            first = await until_gone(
                request.receive, anext(said)
            )  # an error before it has its status
            kind = kind + ".chunk" if form == "chat" else kind
            stream = Stream(
                form, header(kind, asked.model, service.fingerprint), counted=asked.wants_usage
            )
            return EventStream(stream.events(_beginning_with(first, said), tally), job)
        await until_gone(request.receive, _exhaust(said))
    except ClientLeft:
        return Response(status_code=499)
    return JSONResponse(whole(form, header(kind, asked.model, service.fingerprint), tally))


def _service(request: Request) -> ModelService:
    service: ModelService = request.app.state.service
    return service


def _require_model(name: str, service: ModelService) -> None:
    if name != service.pointer.model:
        text = f"the model {name!r:.80} does not exist; this server has {service.pointer.model}"
        raise ApiError(404, text, param="model", code="model_not_found")


async def _beginning_with(
    first: TextDelta, rest: AsyncIterator[TextDelta]
) -> AsyncIterator[TextDelta]:
    yield first
    async for part in rest:
        yield part


async def _exhaust(said: AsyncIterator[TextDelta]) -> None:
    async for _ in said:
        pass


def _card(service: ModelService) -> ModelCard:
    served, aim = service.engine.served, service.pointer
    return ModelCard(
        id=aim.model,
        created=service.started,
        version=aim.version,
        digest=served.digest if served else None,
    )


def _describe_refusals(app: FastAPI) -> None:
    """Take 422 out of the description: OpenAI answers what cannot be used with 400."""
    described = app.openapi()
    for path in described["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
