"""One address for several models: each request is passed on to the server of its model.

Every model has a server of its own on loopback, with its workers and redeploys; its folder says
where that listens. Here requests are only directed: what a request holds, what its key may, and how
often, is checked by the model's server. Each request has a connection of its own, so a worker that
is replaced never closes one on which a request is on its way.

``python -m slipway.serving.front SOCKET FOLDER ...`` is started by ``slipway.serving.several``.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket
from typing import Any

import httpx
import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from prometheus_client import CollectorRegistry, Counter, generate_latest
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway.errors import NotServing
from slipway.libraries import disable_telemetry
from slipway.serving import server_file
from slipway.serving.api_errors import RETRY, ApiError, add_error_handlers, as_api_error
from slipway.serving.api_keys import Keyring, is_exposed
from slipway.serving.client_left import ClientLeft, until_client_leaves
from slipway.serving.key_check import KeyCheck, key_of
from slipway.serving.merged_metrics import CONTENT_TYPE, merged
from slipway.serving.middleware import CrossOrigin, RequestLimits, as_routed
from slipway.serving.model_names import AskedModel
from slipway.serving.page import Beside, beside, page
from slipway.settings import Settings
from slipway.system.connections import SERVER_LIMITS, allow_many_files
from slipway.system.network import hosts_of, listed

_PASSED_ON = "slipway.passed_on"  # in the scope of a request that a model's server answered
_REFUSED = 400
_CONNECT_SECONDS = 5.0
_STATE_SECONDS = 10.0  # for what needs no model
#: Beyond the time of a request, after which its model's server answers in any case.
_GRACE_SECONDS = 15.0
#: Headers of one connection (RFC 9110, 7.6.1), and those that each server sets itself.
_NOT_PASSED_ON = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"),
        *(b"transfer-encoding", b"expect", b"date", b"host", b"server"),
        b"origin",  # of a page: this server's own policy has allowed it
    }
)

Headers = Iterable[tuple[bytes, bytes]]

routes = APIRouter()


class ModelServers:
    """The servers of the models, as a client.

    Args:
        folders: Of each model's server; it has the model's name.
        request_seconds: Longest answer.
    """

    def __init__(self, folders: Iterable[Path], request_seconds: float) -> None:
        self.folders = {folder.name: folder for folder in folders}
        self._client = httpx.AsyncClient(
            headers={"Connection": "close"},
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            timeout=httpx.Timeout(request_seconds + _GRACE_SECONDS, connect=_CONNECT_SECONDS),
            trust_env=False,
        )

    @property
    def models(self) -> tuple[str, ...]:
        """Models that have a version to serve."""
        folders = self.folders.items()
        return tuple(name for name, folder in folders if (folder / server_file.POINTER).is_file())

    async def send(self, model: str, request: Request, body: bytes) -> httpx.Response:
        """Send a client's request to a model's server, and return the head of its answer.

        Raises:
            NotServing: If the server does not answer.
        """
        path, query = request.url.path, request.url.query
        url = self._url(model) + path + (f"?{query}" if query else "")
        headers = [each for each in _passed_on(request.headers.raw) if each[0] != b"content-length"]
        sent = self._client.build_request(request.method, url, content=body, headers=headers)
        try:
            return await self._client.send(sent, stream=True)
        except httpx.HTTPError as error:
            raise _not_serving(model) from error

    async def get(self, model: str, path: str, headers: Headers = ()) -> httpx.Response:
        """Return a model's server's answer to a request of this server's own.

        Raises:
            NotServing: If it does not answer.
        """
        try:
            url = self._url(model) + path
            return await self._client.get(url, headers=[*headers], timeout=_STATE_SECONDS)
        except httpx.HTTPError as error:
            raise _not_serving(model) from error

    async def get_all(self, path: str, headers: Headers = ()) -> tuple[httpx.Response, ...]:
        """Return the answers of the servers that answer with success."""
        asked = (self.get(model, path, headers) for model in self.models)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return tuple(
            each for each in answers if isinstance(each, httpx.Response) and each.is_success
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _url(self, model: str) -> str:
        if server := server_file.read(self.folders[model] / server_file.SERVER):
            return server.url
        raise _not_serving(model)


@routes.post("/v1/chat/completions")
@routes.post("/v1/completions")
async def answer(request: Request) -> Response:
    """Pass a request on to the server of the model that its body names."""
    try:
        body = await request.body()
    except ClientDisconnect:
        return Response(status_code=499)
    named = _model_in(body)
    # Any of the servers refuses a body without a model, in the words of its own checks.
    model = _servers(request).models[0] if named is None else _served(request, named)
    return await _pass_on(model, request, body)


@routes.get("/v1/models")
async def models(request: Request) -> JSONResponse:
    """List the models of all servers that the request's key may use."""
    answers = await _servers(request).get_all("/v1/models", _key_of(request))
    data = [card for answer in answers for card in answer.json()["data"]]
    return JSONResponse({"object": "list", "data": data})


@routes.get("/v1/models/{model}")
async def model(model: str, request: Request) -> Response:
    """Describe a model."""
    return await _pass_on(_served(request, model), request, b"")


@routes.get("/", response_class=HTMLResponse)
async def chat_page(request: Request) -> Response:
    """Return the page that chats with each of the models."""
    return page(_besides(request))


@routes.get("/beside")
async def others(request: Request) -> tuple[Beside, ...]:
    """List the servers of other versions that the page shows side by side with these."""
    return _besides(request)


@routes.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """Return the description of one of the servers: they have the same routes."""
    return await _pass_on(_servers(request).models[0], request, b"")


@routes.get("/health")
async def health() -> dict[str, str]:
    """Report that this server answers, whatever the state of the models."""
    return {"status": "ok"}


@routes.get("/ready")
async def ready(request: Request) -> dict[str, Any]:
    """Report what each model's server serves, or why some of them serve nothing."""
    servers = _servers(request)
    asked = (servers.get(each, "/ready") for each in servers.models)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    if faults := [fault for each in answers if (fault := _fault(each))]:
        raise ApiError(503, "; ".join(faults), code="model_not_ready", headers=RETRY)
    return {"models": [each.json() for each in answers if isinstance(each, httpx.Response)]}


@routes.get("/metrics")
async def metrics(request: Request) -> Response:
    """Return the metrics of all servers and of this one in Prometheus's text format."""
    answers = await _servers(request).get_all("/metrics")
    own = request.app.state.refusals.page()
    return Response(merged((own, *(each.text for each in answers))), media_type=CONTENT_TYPE)


class Refusals:
    """Counts what this server refuses itself; what the models' servers refuse, they count."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        name, text = "slipway_serving_front_refusals", "Requests that reached no model's server"
        self._counter = Counter(name, text, ["status"], registry=self._registry)

    def counted(self, scope: Scope, send: Send) -> Send:
        """Return ``send`` for one request, which counts it if it is refused here."""

        async def send_counted(message: Message) -> None:
            is_refusal = message["type"] == "http.response.start" and message["status"] >= _REFUSED
            if is_refusal and _PASSED_ON not in scope:
                self._counter.labels(str(message["status"])).inc()
            await send(message)

        return send_counted

    def page(self) -> str:
        """Return the counts in Prometheus's text format."""
        return generate_latest(self._registry).decode()


def create(folders: Iterable[Path], settings: Settings) -> ASGIApp:
    """Return the application.

    Args:
        folders: Of each model's server.
        settings: Those of the servers.
    """
    servers = ModelServers(folders, settings.serving_request_seconds)

    @asynccontextmanager
    async def closing(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await servers.close()

    app = FastAPI(openapi_url=None, redirect_slashes=False, lifespan=closing)
    app.include_router(routes)
    app.state.servers, app.state.refusals = servers, (refusals := Refusals())
    add_error_handlers(app)
    keyring = Keyring(settings, is_exposed=is_exposed())
    pages = CrossOrigin(KeyCheck(app, keyring, None, None), listed(settings.allowed_origins))
    hosts = hosts_of(settings, "serving")
    limits = RequestLimits(pages, hosts)

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await limits(routed := as_routed(scope), receive, refusals.counted(routed, send))
        else:
            await app(scope, receive, send)

    return respond


def _servers(request: Request) -> ModelServers:
    servers: ModelServers = request.app.state.servers
    return servers


def _model_in(body: bytes) -> str | None:
    """Return what a request's body names; None if its model's server has to say what is wrong."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    found = document.get("model") if isinstance(document, dict) else None
    return found if isinstance(found, str) else None


def _served(request: Request, text: str) -> str:
    """Return the model that a client means.

    Raises:
        ApiError: 404 if it is not here, with those that are and that the request's key may use.
    """
    asked, key, served = AskedModel.of(text), key_of(request.scope), _servers(request).models
    if asked.name not in served:
        asked.require_one_of([each for each in served if key is None or key.allows(each)])
    return asked.name


async def _pass_on(model: str, request: Request, body: bytes) -> Response:
    """Return what a model's server answers; its work ends when the client leaves."""
    work = _servers(request).send(model, request, body)
    try:
        answer = await until_client_leaves(request.receive, work)
    except ClientLeft:
        return Response(status_code=499)
    request.scope[_PASSED_ON] = True
    response = StreamingResponse(
        _body(model, answer), answer.status_code, background=BackgroundTask(answer.aclose)
    )
    for name, value in _passed_on(answer.headers.raw):
        response.headers.append(name.decode("latin-1"), value.decode("latin-1"))
    return response


async def _body(model: str, answer: httpx.Response) -> AsyncIterator[bytes]:
    """Yield an answer as it comes; in a stream of events, a fault becomes the last one."""
    try:
        async for piece in answer.aiter_raw():
            yield piece
    except httpx.HTTPError:
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            raise
        yield f"\n\ndata: {as_api_error(_not_serving(model)).body}\n\n".encode()


def _passed_on(headers: Headers) -> list[tuple[bytes, bytes]]:
    lower = ((name.lower(), value) for name, value in headers)
    return [(name, value) for name, value in lower if name not in _NOT_PASSED_ON]


def _key_of(request: Request) -> Headers:
    return [each for each in request.headers.raw if each[0] == b"authorization"]


def _besides(request: Request) -> tuple[Beside, ...]:
    folders = _servers(request).folders.values()
    return tuple(each for folder in folders for each in beside(folder))


def _fault(answer: httpx.Response | BaseException) -> str | None:
    """Return why a model's server is not ready; None if it is."""
    if isinstance(answer, BaseException):
        return str(answer)
    return None if answer.is_success else str(answer.json()["error"]["message"])


def _not_serving(model: str) -> NotServing:
    return NotServing(model, "its server does not answer")


def main(descriptor: str, *folders: str) -> None:
    """Serve on a bound socket until SIGTERM or SIGINT.

    Args:
        descriptor: Number of the socket, which this process has inherited.
        folders: Of the models' servers.
    """
    disable_telemetry()
    allow_many_files()
    settings = Settings()
    config = uvicorn.Config(
        create([Path(folder) for folder in folders], settings),
        **SERVER_LIMITS | {"http": "slipway.serving.supervisor:GracefulKeepAlive"},
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.serving_request_seconds + _GRACE_SECONDS),
    )
    uvicorn.Server(config).run(sockets=[socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main(*sys.argv[1:])
