"""The model server's start: its first pointer is the first champion, later ones are redeploy's."""

import time

import httpx

from deployments import services
from deployments.services import model_server
from slipway.serving.protocol import Pointer, write_pointer
from slipway.settings import Settings

_WAIT_SECONDS = 5.0


def appoint(settings: Settings) -> bool:
    """Tell whether the model server may start, writing its pointer if a champion has appeared.

    What an earlier server served is served again; where that is not the champion any more, the
    next redeploy moves on from it.
    """
    path = model_server(settings).awaits
    if path is None or path.is_file():
        return True
    version = _champion(settings)
    if version is None:
        return False
    write_pointer(path, Pointer(model=settings.serve, version=version))
    return True


def _champion(settings: Settings) -> int | None:
    """Ask MLflow's server, without its client: this runs every few seconds, for days."""
    address = f"{settings.mlflow_url}/api/2.0/mlflow/registered-models/alias"
    asked = {"name": settings.serve, "alias": "champion"}
    try:
        response = httpx.get(
            address, params=asked, auth=settings.credentials, timeout=_WAIT_SECONDS
        )
    except httpx.HTTPError:
        return None
    if response.status_code != httpx.codes.OK:
        return None
    return int(response.json()["model_version"]["version"])


def main() -> None:
    """Become the model server, once there is something to serve."""
    settings = Settings()
    while not appoint(settings):
        time.sleep(_WAIT_SECONDS)
    services.main("model-server")


if __name__ == "__main__":
    main()
