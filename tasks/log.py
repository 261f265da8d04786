"""Weights and Artifact → Candidate."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from slipway import child, wrapping
from slipway.settings import Settings, toolchain
from slipway.values import Artifact, Candidate, Entry, Weights
from tasks.edge import flow_run_url, limits, place, registry
from tasks.policies import RETRIED, Reporter


@task(
    task_run_name="log {weights.revision.name} {artifact.variant}",
    description="Log both wrappers and register them. Not cached: the registry is asked by key.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=3 * 3600,
)
def log(entry: Entry, key: str, weights: Weights, artifact: Artifact) -> Candidate:
    """Return both wrappers, logged and registered once for ``key``."""
    settings = Settings()
    progress = Reporter("log", entry.name)
    wrapper = settings.wrappers / "onnx_genai.py"
    tags = {
        "slipway.repo": weights.revision.source.repo,
        "slipway.commit": weights.revision.commit,
        "slipway.variant": artifact.variant,
        "slipway.licence": weights.revision.licence or "",
        "slipway.flow_run": flow_run_url() or "",
        **wrapping.identity(artifact, wrapper),
    }
    request = wrapping.LogRequest(
        place=place(settings),
        key=key,
        entry=entry,
        weights=weights,
        artifact=artifact,
        wrapper=wrapper,
        tools=toolchain(),
        tags=tags,
    )
    logged = child.call(
        wrapping.log,
        request,
        limits(settings),
        step="log",
        on_line=lambda line: progress(None, line) if line.startswith("logging the") else None,
    )
    return registry().register(entry, key, logged.value, tags)
