"""The Prefect server of the flow that a command runs."""

from commands import interrupt
from slipway.settings import Settings
from slipway.system.network import require_prefect


def require(settings: Settings) -> None:
    """Check that the server answers that the environment names; without one, prepare for Ctrl-C.

    Raises:
        Unreachable: If the server does not answer.
    """
    if settings.prefect_api_url:
        require_prefect(settings.prefect_api_url)
    else:
        interrupt.end_at_once()
