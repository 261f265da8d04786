"""Prefect's server; with a password, its API description needs the password too.

Prefect requires the password below ``/api`` alone, and has no setting for the other pages. The same
pages are also at ``/api/docs`` and ``/api/openapi.json``.
"""

from prefect.server.api.server import create_app
from prefect.settings import PREFECT_SERVER_API_AUTH_STRING
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

CLOSED = frozenset({"/docs", "/docs/oauth2-redirect", "/openapi.json", "/redoc"})


def create() -> ASGIApp:
    """Return Prefect's application, which refuses ``CLOSED`` if it has a password."""
    app = create_app(final=True)
    if PREFECT_SERVER_API_AUTH_STRING.value() is None:
        return app

    async def closed(scope: Scope, receive: Receive, send: Send) -> None:
        refuses = scope["type"] == "http" and scope["path"] in CLOSED
        answer = JSONResponse({"exception_message": "Unauthorized"}, 401) if refuses else app
        await answer(scope, receive, send)

    return closed
