"""Applies what this project declares to both servers; running it again changes nothing.

``python -m deployments.apply`` needs both servers. Deployments are declared in ``prefect.yaml``.
"""

import subprocess
import sys
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.client.schemas.schedules import CronSchedule
from prefect.events import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.workers.process import ProcessWorker

from deployments import automations
from deployments.services import (
    POOL,
    RELEASE_POOLS,
    client_environment,
    serve_queue,
    webhook_secret,
)
from deployments.worker import add_queue
from slipway import catalogue
from slipway.errors import SlipwayError, SourceMissing, StepCrashed, Unreachable
from slipway.libraries import sign_in
from slipway.settings import PROJECT, Settings
from slipway.system import process as processes
from slipway.system.network import is_taken
from slipway.system.secret_files import keep_private
from slipway.tracking import mlflow_webhook


def apply(settings: Settings) -> None:
    """Apply pools, deployments, schedules, automations and MLflow's webhook."""
    with get_client(sync_client=True) as client:
        apply_pool(client, POOL, settings.parallel_runs)
        queue = serve_queue(settings.serving_host)
        _say(f"queue {queue} of the work pool {POOL}")
        add_queue(client, queue)
        for pool in RELEASE_POOLS:
            apply_pool(client, pool, None)
        deploy(settings)
        apply_schedules(client, settings)
        apply_automations(client, settings.notify_block)
    _say(f"MLflow webhook to {settings.receiver_url}")
    mlflow_webhook.ensure(
        settings.mlflow_url, f"{settings.receiver_url}/hooks/mlflow", webhook_secret(settings)
    )


def apply_pool(client: SyncPrefectClient, name: str, limit: int | None) -> None:
    """Create or update a work pool, with its limit; without one, its workers have limits."""
    _say(f"work pool {name}, {f'{limit} runs at once' if limit else 'as many runs as fit'}")
    try:
        client.read_work_pool(name)
        client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit))
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        pool = WorkPoolCreate(
            name=name, type="process", base_job_template=template, concurrency_limit=limit
        )
        client.create_work_pool(pool)


def deploy(settings: Settings) -> None:
    """Run ``prefect deploy --all``."""
    _say("deployments of prefect.yaml")
    done = subprocess.run(
        processes.command("-m", "prefect", "--no-prompt", "deploy", "--all"),
        cwd=PROJECT,
        env=client_environment("deploy", settings)
        | {"SLIPWAY_SERVE_QUEUE": serve_queue(settings.serving_host)},
        check=False,
    )
    if done.returncode:
        raise StepCrashed("prefect deploy", f"exit status {done.returncode}", "its output above")


def apply_schedules(client: SyncPrefectClient, settings: Settings) -> None:
    """Keep one schedule of ``release-model`` for each model of the catalogue that has one."""
    asked = {
        entry.name: entry.schedule
        for entry in catalogue.load(settings.catalogue).values()
        if entry.schedule
    }
    _say(f"schedules of {', '.join(asked) or 'no model'}")
    deployment = client.read_deployment_by_name("release-model/release-model")
    existing = {}
    for each in client.read_deployment_schedules(deployment.id):
        if each.slug in asked:
            existing[each.slug] = each.id
        else:
            client.delete_deployment_schedule(deployment.id, each.id)
    for name, cron in asked.items():
        schedule, parameters = CronSchedule(cron=cron, timezone="UTC"), {"model": name}
        if name in existing:
            client.update_deployment_schedule(
                deployment.id, existing[name], schedule=schedule, parameters=parameters
            )
        else:
            new = DeploymentScheduleCreate(schedule=schedule, parameters=parameters, slug=name)
            client.create_deployment_schedules(deployment.id, [new])


def apply_automations(client: SyncPrefectClient, notify_block: str) -> None:
    """Keep the automations of ``deployments.automations``, and no other with their prefix."""
    reconcile = client.read_deployment_by_name("reconcile/reconcile").id
    block = _block(client, notify_block)
    wanted = {each.name: each for each in automations.wanted(reconcile, block)}
    _say(f"automations: {', '.join(name.removeprefix(automations.OURS) for name in wanted)}")
    for each in client.read_automations():
        asked = wanted.pop(each.name, None)
        if asked is None:
            if each.name.startswith(automations.OURS):
                client.delete_automation(each.id)
        elif not _same(each, asked):
            client.update_automation(each.id, asked.model_copy(update={"enabled": each.enabled}))
    for new in wanted.values():
        client.create_automation(new)


def _same(found: AutomationCore, wanted: AutomationCore) -> bool:
    """Return whether both do the same; ``enabled`` is left to the person who switched it."""
    compared = {"description", "trigger", "actions"}
    one, other = (
        _sorted(each.model_dump(mode="json", include=compared)) for each in (found, wanted)
    )
    return bool(one == other)


def _sorted(value: Any) -> Any:
    """Return ``value`` with sorted lists and no ids: the server returns sets in any order."""
    if isinstance(value, dict):
        return {name: _sorted(each) for name, each in value.items() if name != "id"}
    if isinstance(value, list):
        return sorted((_sorted(each) for each in value), key=str)
    return value


def _block(client: SyncPrefectClient, address: str) -> UUID | None:
    if not address:
        return None
    kind, name = address.split("/")
    try:
        return client.read_block_document_by_name(name, kind).id
    except ObjectNotFound as error:
        raise SourceMissing(
            f"Prefect block {address}",
            "create it in the Prefect UI, or correct SLIPWAY_NOTIFY_BLOCK",
        ) from error


def signed_in(settings: Settings) -> AbstractContextManager[Any]:
    """Point Prefect's client to our server, whatever was set when it was imported."""
    auth = settings.auth.get_secret_value() if settings.auth else None
    api = f"{settings.prefect_url}/api"
    return temporary_settings({PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: auth})


def _say(text: str) -> None:
    print(f"apply: {text}", flush=True)


def main() -> int:
    """Apply everything and return the exit code; an error is printed as one line."""
    settings = Settings()
    keep_private(settings.home)
    sign_in(settings)
    for name, url in (("Prefect", settings.prefect_url), ("MLflow", settings.mlflow_url)):
        if not is_taken(url):
            print(Unreachable(name, url, "nothing listens there"), file=sys.stderr)
            return 1
    try:
        with signed_in(settings):
            apply(settings)
    except SlipwayError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
