"""Every route of Prefect's and of MLflow's server, as the servers' own maps list them.

``python routes.py prefect`` and ``python routes.py mlflow`` print them as JSON: method and path. A
process of its own, since MLflow's map is made when the server's environment is there.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

UUID = "00000000-0000-4000-8000-000000000000"


def of_asgi(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the routes of a FastAPI application, with those of what is mounted or included."""
    for route in routes:
        if original := getattr(route, "original_router", None):  # FastAPI's own included router
            yield from of_asgi(original.routes, prefix + route.include_context.prefix)
            continue
        path = prefix + route.path
        if flask := _flask_below(route):
            yield from of_flask(flask, path)
            continue
        inner = getattr(getattr(route, "app", None), "routes", None)
        if inner is not None and not hasattr(route, "endpoint"):
            yield from of_asgi(inner, path)
        elif "WebSocket" in type(route).__name__:
            yield "WEBSOCKET", path
        else:
            methods = getattr(route, "methods", None) or {"GET"}
            yield from ((method, path or "/") for method in sorted(methods))


def _flask_below(route: Any) -> Any:
    """Return the Flask application that a route hands over to through an adapter; or None."""
    below = getattr(getattr(route, "app", None), "app", None)
    return below if hasattr(below, "url_map") else None


def _frontends(app: Any) -> Iterator[tuple[str, str]]:
    """Yield where an application serves the files of a UI, which it does not list as routes."""
    groups = getattr(getattr(app, "router", None), "_low_priority_routes", ())
    yield from (("GET", route.path or "/") for group in groups for route in group.routes)


def of_flask(app: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the routes of a Flask application."""
    for rule in app.url_map.iter_rules():
        yield from ((method, prefix + rule.rule) for method in sorted(rule.methods))


def filled(path: str) -> str:
    """Return a path with something in the place of its parameters."""
    return re.sub(r"\{[^}]*\}|<[^>]*>", UUID, path)


def prefect() -> Iterator[tuple[str, str]]:
    """Yield the routes of Prefect's server, its UI included."""
    from prefect.server.api.server import create_app

    app = create_app()
    yield from of_asgi(app.routes)
    for mount in app.routes:
        yield from _frontends(getattr(mount, "app", None))


def mlflow() -> Iterator[tuple[str, str]]:
    """Yield the routes of MLflow's server with basic-auth."""
    os.environ["_MLFLOW_SGI_NAME"] = "uvicorn"  # as `mlflow server` says, for the whole map
    from mlflow.server.auth import create_app

    return of_asgi(create_app().routes)


if __name__ == "__main__":
    found = {"prefect": prefect, "mlflow": mlflow}[sys.argv[1]]()
    print(json.dumps(sorted(set(found))))  # noqa: T201 - its result
