"""A champion → a bundle, for another registry; and where it went, for its own history."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

from prefect import task

from slipway.errors import MoveRefused
from slipway.registry import open_registry
from slipway.registry.requirements import unmet
from slipway.settings import Settings
from slipway.tracking import bundle as bundles
from slipway.tracking import bundle_file
from slipway.tracking.bundle import Bundle
from slipway.tracking.verified_copy import CopyPlace
from slipway.values import Release
from tasks.context import registry
from tasks.policies import uncached


def champion_for(model: str, environment: str) -> Release:
    """Return the champion, if it meets what an environment requires.

    Raises:
        NoChampion: If there is none.
        MoveRefused: If it may not serve, or does not meet a requirement yet.
    """
    settings = Settings()
    required = settings.environment_of(environment)
    release, period = open_registry(settings).leaving(model)
    if reason := unmet(required, period, datetime.now(UTC)):
        version = release.versions.onnx.version
        what = f"version {version} is not promoted to {environment}: {reason}"
        raise MoveRefused(model, what, "promote it later, or change `environments` in the settings")
    return release


@task(
    task_run_name="bundle {release.versions.model} v{release.versions.onnx.version}",
    description="Copy both wrappers, record, signature and report; verify every file.",
    **uncached(timeout_seconds=3600),
)
def make_bundle(release: Release, folder: Path) -> Bundle:
    """Return the bundle of a release, in a new folder below ``folder``."""
    settings, room = Settings(), Path(mkdtemp(dir=folder))
    return bundles.write(release, CopyPlace.of(settings), settings.environment, room)


@task(
    task_run_name="unpack {file.name}",
    description="Compare every byte with what was packed, and the files with record and signature.",
    **uncached(timeout_seconds=3600),
)
def open_bundle(file: Path, folder: Path) -> Bundle:
    """Return the bundle that a file holds, in a new folder below ``folder``."""
    room = Path(mkdtemp(dir=folder))
    bundle_file.unpack(file, room)
    return bundles.read(room, Settings().verifier)


@task(
    task_run_name="record that {release.versions.model} is in {environment}",
    description="Tag both versions with the version that they are there.",
    **uncached(timeout_seconds=600),
)
def record_promoted(release: Release, environment: str, promoted: Release) -> None:
    """Let the history here name the version there."""
    registry().record_promoted(release, environment, promoted.versions.onnx.version)
