"""``slipway promote``, ``bundle`` and ``unbundle``: a release goes to another registry."""

import tempfile
from pathlib import Path

from commands import console
from commands.options import OutputFile, Reason
from commands.release import exit_code, how_it_ended, prepare
from slipway.errors import NoChampion, SourceMissing
from slipway.settings import Settings
from slipway.tracking import bundle as bundles
from slipway.tracking import bundle_file, location
from slipway.tracking.verified_copy import CopyPlace
from slipway.values import Release


def promote(
    model: str,
    *,
    to: str,
    reason: Reason | None = None,
    force: bool = False,
    json: bool = False,
) -> int:
    """Bring the champion to another environment: the same files, verified, tested there again.

    Args:
        model: Name of an entry in catalogue.toml.
        to: Name of an environment in slipway.toml; docs/environments.md explains them.
        reason: Why, for the histories of both environments.
        force: Promote it even if its source is older than that of the champion there. Needs
            --reason.
        json: Print the result as JSON.
    """
    settings = Settings()
    address = settings.environment_of(to).tracking_uri
    prepare(settings, model, quiet=json)
    if not settings.has_registry:
        raise NoChampion(model)
    location.require_listener(address)
    from flows.promote_release import promote_release
    from tasks.land import require_reason_to_force
    from tasks.leave import champion_for

    require_reason_to_force(model, reason, force=force)
    release = champion_for(model, to)  # raises before a Prefect server is started for the flow
    outcome = promote_release(model, to, reason=reason, force=force)
    _show(outcome, f"v{release.versions.onnx.version} of {settings.environment}", to, json=json)
    return exit_code(outcome)


def bundle(model: str, *, output: OutputFile, json: bool = False) -> int:
    """Write the champion into one file, for `slipway unbundle` on a machine without a network.

    Args:
        model: Name of an entry in catalogue.toml.
        output: The file; an existing one is replaced.
        json: Print the result as JSON.
    """
    settings = Settings()
    if not settings.has_registry:
        raise NoChampion(model)
    from slipway.registry import open_registry

    release, _ = open_registry(settings).leaving(model)
    with tempfile.TemporaryDirectory() as folder:
        bundles.write(release, CopyPlace.of(settings), settings.environment, Path(folder))
        sha256 = bundle_file.pack(Path(folder), output)
    facts = {"file": str(output), "size_bytes": output.stat().st_size, "sha256": sha256}
    if json:
        console.show(facts)
        return 0
    title = f"{model} v{release.versions.onnx.version} is bundled"
    size = console.megabytes(output.stat().st_size)
    console.facts(title, {"file": f"{output}, {size}", "SHA-256": sha256})
    return 0


def unbundle(
    file: Path, *, reason: Reason | None = None, force: bool = False, json: bool = False
) -> int:
    """Verify every byte of a bundle, register its release here, test it and promote it.

    Args:
        file: What `slipway bundle` wrote.
        reason: Why, for the record.
        force: Promote it even if its source is older than the champion's. Needs --reason.
        json: Print the result as JSON.
    """
    settings = Settings()
    if not file.is_file():
        raise SourceMissing(str(file), "name a file that `slipway bundle` has written")
    prepare(settings, None, quiet=json)
    from flows.unbundle import unbundle as unbundle_flow

    outcome = unbundle_flow(file.absolute(), reason=reason, force=force)
    _show(outcome, file.name, settings.environment, json=json)
    return exit_code(outcome)


def _show(outcome: Release, source: str, environment: str, *, json: bool) -> None:
    if json:
        console.show(outcome.model_dump(mode="json"))
        return
    versions = outcome.versions
    word = how_it_ended(outcome, "there already")
    facts = {"from": source, "verdict": "\n".join(outcome.verdict.brief)}
    if outcome.promotion:
        facts |= {each.kind: each.uri for each in versions.wrappers}
        facts["aliases"] = ", ".join(outcome.promotion.aliases) or "none"
    if outcome.waiting:
        facts["approve it"] = f"in {environment}: slipway approve {versions.model} --reason TEXT"
    console.facts(f"{versions.model} in {environment}: {word}", facts)
