"""The release in a bundle's file becomes a release of this registry."""

from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import flow

from flows.landing import land
from slipway.values import Release
from tasks.entries import entry_of
from tasks.land import announce_landed, find_promoted, require_reason_to_force
from tasks.leave import open_bundle
from tasks.outcome import ended


@flow(name="unbundle", flow_run_name="unbundle {file.name}", validate_parameters=True)
def unbundle(file: Path, reason: str | None = None, force: bool = False) -> Release:
    """Register the release in a file of `slipway bundle`, test it here, and promote it.

    Every byte is verified before anything is registered. Running it again is safe.

    Args:
        file: What `slipway bundle` wrote.
        reason: Why you start it, for the record.
        force: Promote it although its source is older than the champion's. Needs a reason.
    """
    require_reason_to_force(str(file), reason, force=force)
    with TemporaryDirectory() as folder:
        bundle = open_bundle(file, Path(folder))
        entry = entry_of(bundle.record.model)
        release = find_promoted(entry.name, bundle.record.key)
        if release is None:
            release = land(entry, bundle, entry.target, reason, force=force)
    announce_landed(entry, release)
    return ended(release)
