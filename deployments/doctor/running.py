"""Checks of what runs: servers, worker, deployments, automations, webhooks, model server, Hub."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import WorkQueueStatus
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from deployments.apply import signed_in
from deployments.doctor.check import Diagnosis, fail, ok, warn
from deployments.services import (
    POOL,
    Service,
    mlflow_server,
    prefect_server,
    serve_queue,
    servers,
    workers,
)
from slipway import catalogue
from slipway.errors import CatalogueInvalid
from slipway.evaluation import targets
from slipway.libraries import basic_header, mlflow_headers
from slipway.settings import PROJECT, Settings
from slipway.system.network import answers, host_and_port, is_loopback, is_taken
from tasks.pools import workers_online

_APPLY = "run `python -m deployments.apply`"
_DAY = timedelta(days=1)
_HUB = "https://huggingface.co"
_WAIT_SECONDS = 10.0
_EVENTS = 50
_QUESTIONS = 6  # since any worker of a server may answer
_LATE = "already in terminal state"  # a run's last heartbeat arrived after its end


def running_checks(settings: Settings) -> tuple[Diagnosis, ...]:
    """Check each service and, where the servers run, what is applied to them."""
    parts = _parts(settings)
    running = {part.name for part in parts if is_taken(part.url)}
    checks = [_part(part, running, settings) for part in parts]
    if prefect_server(settings).name in running:
        checks += prefect_checks(settings)
    if mlflow_server(settings).name in running:
        checks += _mlflow(settings)
    return (*checks, _hub(settings))


def _parts(settings: Settings) -> tuple[Service, ...]:
    """Return the services; a catalogue that names no models to serve is reported elsewhere."""
    with suppress(CatalogueInvalid):
        return (*servers(settings), *workers(settings))
    return servers(settings)


def _part(part: Service, running: set[str], settings: Settings) -> Diagnosis:
    if part.name not in running:
        if part.is_waiting:
            models = " or ".join(file.parent.name for file in part.awaits)
            return ok(part.name, f"not started: there is no champion of {models} yet")
        if not is_loopback(host_and_port(settings.prefect_url)[0]):
            found = f"not running at {part.url}"
            return warn(part.name, found, "start it on this machine if nothing else does its work")
        if running:
            return fail(part.name, "not running, and other services are", "run `slipway up`")
        return warn(part.name, f"not running; {part.url} is free", "run `slipway up`")
    return _listening(part)


def _listening(part: Service) -> Diagnosis:
    if all(answers(part.health) for _ in range(_QUESTIONS)):
        return ok(part.name, f"answers at {part.url}")
    if part.health_path == "/ready" and answers(f"{part.url}/health"):
        found = "a worker has no model, or its engine shows no sign of life"
        return fail(part.name, found, f"wait two minutes, then read its log, up-{part.name}.log")
    advice = f"stop what listens there, or set {part.setting} to another address"
    return fail(part.name, f"something else listens at {part.url}", advice)


def prefect_checks(settings: Settings) -> list[Diagnosis]:
    """Look at Prefect's server, and at what `slipway up` makes there."""
    retries = temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1})  # with five: minutes
    try:
        with signed_in(settings), retries, get_client(sync_client=True) as client:
            checks = [look(client) for look in (_pool, _deployments, _schedules, _actions)]
            checks[1:1] = [*_workers(settings), _redeploys(client, settings)]
        sign_in = sign_in_check("prefect", f"{settings.prefect_url}/api/admin/version")
    except PrefectHTTPStatusError as error:
        advice = "set SLIPWAY_AUTH to the value that the server was given"
        return [_refused("prefect", error.response.status_code, advice)]
    except httpx.HTTPError as error:
        found = f"{type(error).__name__} at {settings.prefect_url}"
        return [fail("prefect sign-in", found, "read its log, up-prefect.log")]
    return [sign_in, *checks]


def _refused(server: str, status: int, advice: str) -> Diagnosis:
    """Return that a server refuses us; ``advice`` is for one that does not accept our password."""
    is_sign_in = status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}
    advice = advice if is_sign_in else f"read its log, up-{server}.log"
    return fail(f"{server} sign-in", f"the server answers {status}", advice)


def sign_in_check(server: str, address: str) -> Diagnosis:
    """Tell, of a server that accepts our password, whether it requires one."""
    anonymous = httpx.get(address, timeout=_WAIT_SECONDS).status_code
    if anonymous == httpx.codes.UNAUTHORIZED:
        return ok(f"{server} sign-in", "accepted; required of everybody")
    found = "no password is required: every user of this machine may read and change everything"
    advice = "stop `slipway up --open`, and start `slipway up`"
    return warn(f"{server} sign-in", found, advice)


def _pool(client: SyncPrefectClient) -> Diagnosis:
    try:
        pool = client.read_work_pool(POOL)
    except ObjectNotFound:
        return fail("work pool", f"{POOL} does not exist", _APPLY)
    if pool.is_paused:
        return warn("work pool", f"{POOL} is paused", "resume it in the Prefect UI")
    return ok("work pool", f"{POOL}, {pool.concurrency_limit} runs at once")


def _workers(settings: Settings) -> list[Diagnosis]:
    """Look for workers in every pool that the catalogue needs."""
    devices: set[str] = set()
    with suppress(CatalogueInvalid):  # reported elsewhere
        entries = catalogue.load(settings.catalogue).values()
        devices = {targets.device(each) for each in entries if each.unmeasured == "refuse"}
    return [_worker(pool) for pool in (POOL, *sorted({"cpu", *devices}))]


def _worker(pool: str) -> Diagnosis:
    name = f"workers of {pool}"
    if online := workers_online(pool):
        return ok(name, f"online: {', '.join(online)}")
    advice = "run `slipway up`, or start a worker on another machine (deployments/README.md)"
    return fail(name, "none is online, so no run of this pool starts", advice)


def _redeploys(client: SyncPrefectClient, settings: Settings) -> Diagnosis:
    """Check that a worker takes the redeploys: they wait for it, without an error."""
    name = serve_queue(settings.serving_host)
    try:
        queue = client.read_work_queue_by_name(name, work_pool_name=POOL)
    except ObjectNotFound:
        return fail("redeploys", f"queue {name} does not exist", _APPLY)
    if queue.status == WorkQueueStatus.READY:
        return ok("redeploys", f"a worker takes the queue {name}")
    found = f"no worker takes the queue {name}"
    advice = f"start a worker on {settings.serving_host}, or correct SLIPWAY_SERVING_HOST"
    return warn("redeploys", found, f"{advice} and {_APPLY}")


def _deployments(client: SyncPrefectClient) -> Diagnosis:
    declared = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))
    asked = {each["name"] for each in declared["deployments"]}
    missing = sorted(asked - {each.name for each in client.read_deployments()})
    if missing:
        return fail("deployments", f"missing: {', '.join(missing)}", _APPLY)
    return ok("deployments", f"{len(asked)} applied")


def _schedules(client: SyncPrefectClient) -> Diagnosis:
    """Check that the server's scheduler creates runs: it fails without an error."""
    active = [
        each.name for each in client.read_deployments() if any(s.active for s in each.schedules)
    ]
    ahead = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Scheduled"])))
    if not active or client.read_flow_runs(flow_run_filter=ahead, limit=1):
        return ok("schedules", f"of {', '.join(sorted(active)) or 'no deployment'}")
    advice = "wait a minute; if there is still none, look for errors in up-prefect.log"
    return warn("schedules", "there are schedules, and no run is scheduled", advice)


def _actions(client: SyncPrefectClient) -> Diagnosis:
    """Look for actions that failed: a failed action has no flow run."""
    wanted = EventFilter(
        event=EventNameFilter(name=["prefect.automation.action.failed"]),
        occurred=EventOccurredFilter(since=datetime.now(UTC) - _DAY),
    )
    events = client.read_events(wanted, limit=_EVENTS).events
    failed = [each for each in events if _LATE not in str(each.payload.get("reason"))]
    if not failed:
        return ok("automations", "no action failed in the last 24 hours")
    name = failed[0].resource.get("prefect.resource.name", "?")
    reason = failed[0].payload.get("reason")
    found = f"{len(failed)} actions failed in the last 24 hours; {name}: {reason}"
    return warn("automations", found, "read the event in the Prefect UI's event feed")


def _mlflow(settings: Settings) -> list[Diagnosis]:
    base = f"{settings.mlflow_url}/api/2.0/mlflow"
    with httpx.Client(headers=mlflow_headers(settings), timeout=_WAIT_SECONDS) as client:
        try:
            response = client.get(f"{base}/experiments/search", params={"max_results": 1})
            hooks = client.get(f"{base}/webhooks")
            sign_in = sign_in_check("mlflow", f"{base}/experiments/search?max_results=1")
        except httpx.HTTPError as error:
            found = f"{type(error).__name__} at {settings.mlflow_url}"
            return [fail("mlflow sign-in", found, "read its log, up-mlflow.log")]
    if response.status_code != httpx.codes.OK:
        return [_refused("mlflow", response.status_code, _sign_in_advice(settings))]
    return [sign_in, _webhook(hooks, settings)]


def _sign_in_advice(settings: Settings) -> str:
    """Return what to do where MLflow refuses us; this home has its own server's users alone."""
    ours = basic_header(":".join(settings.credentials or ()))
    if settings.mlflow_url != Settings().mlflow_url or mlflow_headers(settings) != ours:
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to those of a user of it"
    return (
        "set SLIPWAY_AUTH to the value that the server was first started with; if it is lost, "
        f"stop the server, remove {settings.mlflow / 'users.db'} and start it again"
    )


def _webhook(response: httpx.Response, settings: Settings) -> Diagnosis:
    try:
        listed = response.raise_for_status().json().get("webhooks", [])
        urls = [str(each.get("url")) for each in listed]
    except (httpx.HTTPStatusError, ValueError, AttributeError):  # also a page of a proxy
        found = f"the server answers {response.status_code} without a list of webhooks"
        return warn("mlflow webhook", found, "read its log, up-mlflow.log")
    if any(url.startswith(settings.receiver_url) for url in urls):
        return ok("mlflow webhook", f"sends to {settings.receiver_url}")
    return warn(
        "mlflow webhook", "not registered: only the schedule notices a changed alias", _APPLY
    )


def _hub(settings: Settings) -> Diagnosis:
    """Send the Hub a small request."""
    endpoint = (settings.hub_endpoint or _HUB).rstrip("/")
    try:
        httpx.get(f"{endpoint}/api/models?limit=1&search={quote('phi')}", timeout=_WAIT_SECONDS)
    except httpx.HTTPError as error:
        found = f"{endpoint} does not answer ({type(error).__name__})"
        advice = "check the network and HF_ENDPOINT; until then its models cannot be released"
        return warn("hub", found, advice)
    return ok("hub", f"{endpoint} answers")
