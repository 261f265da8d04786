"""The first version that the model server serves: the first champion; later ones are redeployed.

``python -m deployments.initial_version`` waits for that champion and becomes the model server.
"""

import time

import httpx

from deployments import services
from slipway.serving.protocol import Pointer, write_pointer
from slipway.settings import Settings
from slipway.system.secret_files import keep_private

_WAIT_SECONDS = 5.0


def ensure_pointer(settings: Settings) -> bool:
    """Tell whether the model server may start, writing its pointer if there is a champion.

    An existing pointer stays: the server serves the same version again, and the next redeploy
    replaces it if that is not the champion any more.
    """
    path = services.model_server(settings).awaits
    if path is None or path.is_file():
        return True
    version = _champion(settings)
    if version is None:
        return False
    write_pointer(path, Pointer(model=settings.serve, version=version))
    return True


def _champion(settings: Settings) -> int | None:
    """Return the champion's version, without MLflow's client: this runs every few seconds."""
    address = f"{settings.mlflow_url}/api/2.0/mlflow/registered-models/alias"
    query = {"name": settings.serve, "alias": "champion"}
    try:
        response = httpx.get(
            address, params=query, auth=settings.credentials, timeout=_WAIT_SECONDS
        ).raise_for_status()
    except httpx.HTTPError:
        return None
    return int(response.json()["model_version"]["version"])


def main() -> None:
    """Become the model server, once there is something to serve."""
    settings = Settings()
    keep_private(settings.home)
    while not ensure_pointer(settings):
        time.sleep(_WAIT_SECONDS)
    services.main("model-server")


if __name__ == "__main__":
    main()
