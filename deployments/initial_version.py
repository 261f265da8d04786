"""The first version of each model that the model server serves: its first champion.

Later champions are redeployed. ``python -m deployments.initial_version`` waits for a champion and
becomes the model server.
"""

import time
from collections.abc import Iterable
from pathlib import Path

import httpx

from deployments import services
from slipway.libraries import mlflow_headers
from slipway.serving.protocol import Pointer, write_pointer
from slipway.settings import Settings
from slipway.system.secret_files import keep_private

_WAIT_SECONDS = 5.0


def ensure_pointers(pointers: Iterable[Path], settings: Settings) -> None:
    """Write the pointer files of models that have a champion, each in its model's folder.

    An existing pointer stays: the server serves the same version again, and the next redeploy
    replaces it if that is not the champion any more. A server that is running adds the models whose
    pointers are written later.
    """
    for path in pointers:
        model = path.parent.name
        if not path.is_file() and (version := _champion(model, settings)):
            write_pointer(path, Pointer(model=model, version=version))


def _champion(model: str, settings: Settings) -> int | None:
    """Return the champion's version, without MLflow's client: this runs every few seconds."""
    server = settings.in_use
    address = f"{server.mlflow_url}/api/2.0/mlflow/registered-models/alias"
    query = {"name": model, "alias": "champion"}
    try:
        response = httpx.get(
            address, params=query, headers=mlflow_headers(server), timeout=_WAIT_SECONDS
        ).raise_for_status()
        return int(response.json()["model_version"]["version"])
    except (httpx.HTTPError, LookupError, TypeError, ValueError):  # also if it is not MLflow's
        return None


def main() -> None:
    """Become the model server, once there is something to serve."""
    settings = Settings()
    keep_private(settings.home)
    server = services.model_server(settings)
    ensure_pointers(server.awaits, settings)
    while server.is_waiting:
        time.sleep(_WAIT_SECONDS)
        ensure_pointers(server.awaits, settings)
    services.main("model-server")


if __name__ == "__main__":
    main()
