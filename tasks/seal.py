"""ReleaseSummary → its record and signature, inside both logged models."""

from prefect import get_run_logger, task

from slipway.errors import ArtifactChanged, VersionRefused
from slipway.libraries import toolchain
from slipway.registry.lookup import tested_with
from slipway.report import document
from slipway.settings import Settings
from slipway.tracking import seal as seals
from slipway.tracking.verified_copy import CopyPlace
from slipway.values import Promoted, ReleaseSummary
from tasks.context import audit_info, registry
from tasks.policies import uncached


@task(
    task_run_name="seal {summary.versions.model} v{summary.versions.onnx.version}",
    description="Write the release's record into both logged models, before anything serves.",
    **uncached(timeout_seconds=3600),
)
def seal(summary: ReleaseSummary, reason: str | None) -> None:
    """Write the record of a release into both of its logged models, and sign all their files.

    A version that failed its smoke test since its files are damaged keeps no record.

    Args:
        summary: The release, with its verdict.
        reason: Why a person started it; None if nobody said so.
    """
    settings, versions = Settings(), summary.versions
    state = registry().state(versions.model, versions.onnx.version)
    if state and state.released:  # by another machine, a moment ago
        return
    request = seals.SealRequest(
        place=CopyPlace.of(settings),
        environment=settings.environment,
        summary=summary,
        description=document.description(summary),
        started=audit_info(reason or "no reason was given"),
        tools=toolchain(),
        tested_with=tested_with(summary.entry, settings),
        signing_key=settings.signing_key_in_use,
    )
    try:
        seals.seal(request)
    except (ArtifactChanged, VersionRefused) as error:
        if isinstance(summary.verdict, Promoted):
            raise
        get_run_logger().warning(f"no record was written: {error}")
