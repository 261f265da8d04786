"""Weights and Artifact → RegisteredVersions."""

from prefect import task

from slipway.libraries import toolchain
from slipway.settings import Settings
from slipway.system.call import call
from slipway.tracking import known_wrappers, log_models
from slipway.tracking.location import mlflow_location
from slipway.values import Artifact, Entry, RegisteredVersions, Weights
from tasks.context import flow_run_url, limits, registry
from tasks.inform import Reporter
from tasks.policies import uncached


@task(
    task_run_name="log {weights.revision.name} {artifact.variant}",
    description="Log both wrappers and register them. Not cached: the registry knows the key.",
    **uncached(timeout_seconds=3 * 3600),
)
def log(entry: Entry, key: str, weights: Weights, artifact: Artifact) -> RegisteredVersions:
    """Return both wrappers, logged and registered once for ``key``.

    A process that releases the same on this machine is waited for; what it registered is used.
    """
    settings = Settings()
    wrapper = settings.wrappers / known_wrappers.FILE
    request = log_models.LogRequest(
        location=mlflow_location(settings),
        key=key,
        model=entry.name,
        title=entry.title,
        contract=entry.wrappers.onnx,
        weights=weights,
        artifact=artifact,
        wrapper=wrapper,
        tools=toolchain(),
        tags=log_models.origin(weights.revision, artifact, wrapper, flow_run_url()).to_tags(),
    )
    reporter = Reporter("log", entry.name)

    def log_in_child(request: log_models.LogRequest) -> log_models.Logged:
        return call(log_models.log, request, limits(settings), step="log", progress=reporter).value

    return registry().register_once(request, log_in_child)
