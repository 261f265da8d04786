"""Prefect's server, for requests under its own names and from its own pages.

Prefect checks neither ``Host`` nor, on a web socket, ``Origin``: any web page that a person opens
could reach the API. With a password, Prefect requires it below ``/api`` alone, and has no setting
for the API description, which is also at ``/api/docs`` and ``/api/openapi.json``. Its UI
takes the password from the browser's storage, and from no address; ``SIGN_IN`` stores it there.
Its pages load an analytics client, also with ``PREFECT_SERVER_ANALYTICS_ENABLED=false``; the policy
in ``_policy`` lets a page speak to this server alone.
"""

import base64
import gc
import time
from hashlib import sha256
from itertools import cycle
from threading import Thread
from urllib.parse import urlsplit

from prefect.server.api.server import create_app
from prefect.settings import PREFECT_SERVER_API_AUTH_STRING, PREFECT_UI_API_URL
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from deployments.services import SIGN_IN
from slipway.settings import Settings
from slipway.system.network import hosts_of, is_allowed_host, is_own_origin

CLOSED = frozenset({"/docs", "/docs/oauth2-redirect", "/openapi.json", "/redoc"})


def create() -> ASGIApp:
    """Return Prefect's application behind ``guarded``."""
    collect_garbage_in_a_thread()
    settings = Settings()
    has_password = PREFECT_SERVER_API_AUTH_STRING.value() is not None
    return guarded(create_app(final=True), settings, has_password=has_password)


def collect_garbage_in_a_thread() -> None:
    """Collect garbage each second, outside the thread that answers requests.

    With SQLite, an error such as "database is locked" leaves its cursor as garbage. Whoever
    collects it resets its statement, and waits until the cursor's connection, which has other work
    by now, is at rest. If that work waits for a lock whose holder waits for the event loop, the
    server answers nobody until the lock's time is over, which is 60 s in Prefect.
    """
    gc.disable()
    Thread(target=_collect_garbage, name="garbage collector", daemon=True).start()


def _collect_garbage() -> None:
    for generation in cycle([1] * 59 + [2]):
        time.sleep(1)
        gc.collect(generation)


def guarded(app: ASGIApp, settings: Settings, *, has_password: bool) -> ASGIApp:
    """Return ``app``, which refuses other names, pages of other sites, and what ``CLOSED`` names.

    A web socket is refused before it is accepted, so that nothing is read or sent.
    """
    names = settings.more_names("prefect")
    hosts = hosts_of(settings, "prefect")
    policy = _policy()

    def answer(scope: Scope) -> ASGIApp:
        if scope["type"] == "lifespan":
            return app
        headers = Headers(scope=scope)
        host, origin = (",".join(headers.getlist(each)) for each in ("host", "origin"))
        if not is_allowed_host(host, hosts):
            return _refused(scope, 400, "no name of this server: see SLIPWAY_ALLOWED_HOSTS")
        if not is_own_origin(origin, host, names):
            return _refused(scope, 403, "sent by another site: see SLIPWAY_ALLOWED_HOSTS")
        if has_password and scope["path"] in CLOSED:
            return _refused(scope, 401, "Unauthorized")
        is_sign_in = scope["type"] == "http" and scope["path"] == SIGN_IN
        return HTMLResponse(_SIGN_IN_PAGE) if is_sign_in else app

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = policy
            await send(message)

        await answer(scope)(scope, receive, send_with_policy)

    return guard


def _policy() -> str:
    """Return which addresses a page may load and speak to (Content Security Policy, level 3).

    Reports hold their plots as ``data:``. Scripts of the pages stand in files of their own, but for
    that of ``SIGN_IN``; their styles are also set inline. The library that draws the graph of a run
    (PixiJS) compiles its shaders with ``eval``.
    """
    parts = urlsplit(PREFECT_UI_API_URL.value() or "")  # pages read it as their API's address
    api = f"{parts.scheme}://{parts.netloc}"
    script = base64.b64encode(sha256(_SIGN_IN_SCRIPT.encode()).digest()).decode()
    rules = {
        "default-src": "'self'",
        "connect-src": f"'self' {api} {api.replace('http', 'ws', 1)}",
        "font-src": "'self' data:",
        "frame-ancestors": "'self'",
        "img-src": "'self' data: blob:",
        "script-src": f"'self' 'unsafe-eval' 'sha256-{script}'",
        "style-src": "'self' 'unsafe-inline'",
        "worker-src": "'self' blob:",
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


_SIGN_IN_SCRIPT = """
if (location.hash.length > 1) localStorage.setItem("prefect-password", location.hash.slice(1));
location.replace("/");
"""
_SIGN_IN_PAGE = f"""<!doctype html>
<title>Sign in</title>
<script>{_SIGN_IN_SCRIPT}</script>
"""


def _refused(scope: Scope, status: int, message: str) -> ASGIApp:
    if scope["type"] == "websocket":
        return WebSocketClose(1008, message)
    return JSONResponse({"exception_message": message}, status)
