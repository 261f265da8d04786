"""Where settings are read: what tasks hand to the core."""

from prefect.runtime import flow_run

from slipway.child import Limits
from slipway.progress import Progress, silent
from slipway.registry import Registry
from slipway.settings import Settings, toolchain
from slipway.steps import Workshop
from slipway.store import Store
from slipway.tracking import Place, place_of


def limits(settings: Settings) -> Limits:
    """Return what a child process may use on this machine."""
    memory = settings.step_memory_gb
    return Limits(
        timeout_seconds=settings.step_timeout_seconds,
        memory_bytes=int(memory * 1e9) if memory else None,
        logs=settings.home.resolve() / "logs",
    )


def workshop(progress: Progress = silent) -> Workshop:
    """Return where and with what the steps work on this machine."""
    settings = Settings()
    store = Store(settings.home.resolve() / "store")
    return Workshop(store, limits(settings), toolchain(), progress)


def place(settings: Settings) -> Place:
    """Return where MLflow keeps things."""
    return place_of(settings)


def registry() -> Registry:
    """Return the model registry, reached."""
    settings = Settings()
    return Registry(place(settings), settings.home.resolve() / "locks")


def flow_run_url() -> str | None:
    """Return where people see the Prefect run that this task belongs to."""
    return f"{Settings().prefect_url}/runs/flow-run/{flow_run.id}" if flow_run.id else None
