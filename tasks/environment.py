"""What every flow run needs in its process, however it was started."""

import contextlib
import os
import secrets
import sys

from slipway.libraries import apply_environment
from slipway.settings import Settings
from slipway.system import temporary
from slipway.system.secret_files import keep_private


def prepare() -> None:
    """Set what the libraries read; Prefect reads it again if it was imported before.

    Prefect would also take settings from `.env`, `prefect.toml` and `pyproject.toml` in the current
    folder, and a server that one of them names would receive the password of this home. Settings
    are environment variables, so Prefect is imported in a folder that has none of these files.
    """
    settings = Settings()
    keep_private(settings.home)
    if "PREFECT__FLOW_RUN_ID" in os.environ:  # a worker has started this process for one run
        temporary.claim(settings.home)
    started_by_prefect = "prefect" in sys.modules
    if started_by_prefect:  # its home is where its profile was read
        from prefect.settings import PREFECT_HOME

        os.environ.setdefault("PREFECT_HOME", str(PREFECT_HOME.value()))
    elif not settings.prefect_api_url:
        _protect_temporary_server()
    apply_environment(settings)
    if started_by_prefect:
        _read_again()
    from tasks.run_log import keep_lines_plain

    with contextlib.chdir(settings.home / "prefect"):
        keep_lines_plain()


def _protect_temporary_server() -> None:
    """Give Prefect's temporary server, which is for this process alone, a password of its own."""
    password = f"slipway:{secrets.token_urlsafe(32)}"
    os.environ["PREFECT_API_AUTH_STRING"] = password
    os.environ["PREFECT_SERVER_API_AUTH_STRING"] = password


def _read_again() -> None:
    from prefect import context

    # Settings that somebody set for a while, as tests do, are left alone.
    if context.get_settings_context() is context.GLOBAL_SETTINGS_CONTEXT:
        context.refresh_global_settings_context()
