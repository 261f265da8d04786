"""Weights and Artifact → RegisteredVersions."""

from prefect import task

from slipway.settings import Settings, toolchain
from slipway.system.call import call
from slipway.tracking import log_models
from slipway.values import Artifact, Entry, RegisteredVersions, Weights
from tasks.context import flow_run_url, limits, location, registry
from tasks.policies import Reporter, uncached


@task(
    task_run_name="log {weights.revision.name} {artifact.variant}",
    description="Log both wrappers and register them. Not cached: the registry knows the key.",
    **uncached(timeout_seconds=3 * 3600),
)
def log(entry: Entry, key: str, weights: Weights, artifact: Artifact) -> RegisteredVersions:
    """Return both wrappers, logged and registered once for ``key``."""
    settings = Settings()
    wrapper = settings.wrappers / "onnx_genai.py"
    tags = log_models.origin(weights.revision, artifact, wrapper, flow_run_url()).to_tags()
    request = log_models.LogRequest(
        location=location(settings),
        key=key,
        entry=entry,
        weights=weights,
        artifact=artifact,
        wrapper=wrapper,
        tools=toolchain(),
        tags=tags,
    )
    reporter = Reporter("log", entry.name)
    logged = call(log_models.log, request, limits(settings), step="log", progress=reporter)
    return registry().register(entry, key, logged.value, tags)
