"""Where settings are read: what tasks hand to the core."""

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.runtime import flow_run

from slipway.evaluation.texts import load_calibration, load_texts
from slipway.libraries import MLFLOW_CLIENT, environment_client, password_file, toolchain
from slipway.registry import Registry, open_registry
from slipway.settings import Settings
from slipway.system.process import ProcessLimits
from slipway.system.progress import Progress, silent
from slipway.system.store import Store
from slipway.system.workspace import Workspace
from slipway.tracking.accounts import Accounts
from slipway.tracking.location import signed_in_by
from slipway.validation.texts import require_text
from slipway.values import AuditInfo, Calibration, Entry, Recipe, Text

#: Begins the key of a run that another one has handed over, whose id follows.
HANDED_OVER_KEY = "handed-over:"


def limits(settings: Settings) -> ProcessLimits:
    """Return what a child process may use on this machine."""
    memory = settings.step_memory_gb
    return ProcessLimits(
        timeout_seconds=settings.step_timeout_seconds,
        memory_bytes=int(memory * 1e9) if memory else None,
        logs=settings.home.resolve() / "logs",
    )


def texts(entry: Entry) -> tuple[Text, ...]:
    """Return the texts on which the candidates of ``entry`` are compared with their source."""
    return load_texts(Settings().expectations / "texts" / entry.texts)


def calibration(recipe: Recipe) -> Calibration | None:
    """Return what a recipe's candidates are calibrated on; None if none of them is."""
    return load_calibration(recipe, Settings().expectations)


def workspace(progress: Progress = silent) -> Workspace:
    """Return where and with what the steps work on this machine."""
    settings = Settings()
    store = Store(settings.home.resolve() / "store")
    store.remove_leftovers()
    return Workspace(store, limits(settings), toolchain(), progress)


def server_folder(model: str) -> Path:
    """Return the folder of a model's server on this machine, with its pointer file."""
    return Settings().server_folders / model


def registry() -> Registry:
    """Return the model registry, reached."""
    return open_registry(Settings())


@contextmanager
def in_environment(name: str) -> Iterator[None]:
    """Let this process work with the MLflow of another environment while the body runs.

    MLflow's client has one address, and reads it and how to sign in from the variables. So what the
    body does not read before belongs to the other environment.

    Raises:
        CatalogueInvalid: If that MLflow refuses user and password.
    """
    settings = Settings()
    reached, file = environment_client(settings, name), password_file(settings, name)
    before = {each: os.environ.pop(each) for each in MLFLOW_CLIENT if each in os.environ}
    os.environ.update(reached)
    try:
        with signed_in_by(file):
            yield
    finally:
        for each in MLFLOW_CLIENT:
            os.environ.pop(each, None)
        os.environ.update(before)


def audit_info(reason: str) -> AuditInfo:
    """Return who runs this, for the record, with ``reason``."""
    require_text("reason", reason)
    return AuditInfo(actor=_actor(), reason=reason[:500])


def asked_at() -> datetime:
    """Return when this flow run was requested: it may have waited in a queue since."""
    context = FlowRunContext.get()
    created = context.flow_run.created if context and context.flow_run else None
    return created or datetime.now(UTC)


def _actor() -> str:
    """Return the person, or what started the run of a deployment."""
    context = FlowRunContext.get()
    return _starter(context.flow_run if context else None)


def _starter(run: FlowRun | None) -> str:
    if run is None or run.deployment_id is None:
        return _person()
    if run.auto_scheduled:
        return "schedule"
    if run.created_by and run.created_by.type == "AUTOMATION":
        return f"event ({run.created_by.display_value})"
    # ``dispatch`` and ``hand_over`` set such keys; a run that a person starts in the UI has none
    key = run.idempotency_key or ""
    if key.startswith(HANDED_OVER_KEY):
        with get_client(sync_client=True) as client:
            return _starter(client.read_flow_run(UUID(key.removeprefix(HANDED_OVER_KEY))))
    return "event" if key.startswith("release:") else "Prefect UI"


def _person() -> str:
    """Return who is signed in to MLflow; of the account that the services share, who is here."""
    settings = Settings()
    shared = settings.credentials[0] if settings.credentials else None
    person = Accounts(settings.registry).signed_in()
    if person and person.name != shared:
        return person.name
    return f"{getpass.getuser()}@{socket.gethostname()}"


def flow_run_url() -> str | None:
    """Return where people see the Prefect run that this task belongs to."""
    server = Settings().prefect_pages
    return f"{server}/runs/flow-run/{flow_run.id}" if flow_run.id else None
