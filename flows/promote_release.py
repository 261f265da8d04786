"""The champion of one registry becomes champion of another one."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from prefect import flow

from flows.landing import land
from flows.parameters import Model, OptionalReason, TargetEnvironment, titled
from slipway.settings import Settings
from slipway.values import Promoted, Release
from tasks.context import in_environment
from tasks.entries import entry_of
from tasks.land import find_promoted, require_reason_to_force
from tasks.leave import champion_for, make_bundle, record_promoted
from tasks.outcome import ended


@flow(name="promote-release", flow_run_name="promote {model} to {to}", validate_parameters=True)
def promote_release(
    model: Model,
    to: TargetEnvironment,
    reason: OptionalReason = None,
    force: Annotated[bool, titled("Overtake a champion of a newer source")] = False,
) -> Release:
    """Bring the champion to another environment: the same files, tested there again.

    Its files, record and signature are verified before anything is written there. Running it again
    is safe: what an earlier run finished is found by its release key.

    Args:
        model: Whose champion is promoted: an entry of catalogue.toml.
        to: Where to: an environment of the settings. What it requires is checked first.
        reason: Why you start it; the histories of both environments show it.
        force: Promote it although its source is older than that of the champion there. Needs a
            reason.
    """
    require_reason_to_force(model, reason, force=force)
    entry, release = entry_of(model), champion_for(model, to)
    with in_environment(to):
        promoted = find_promoted(model, release.versions.key)
    if promoted is None:
        target = Settings().environment_of(to).target
        with TemporaryDirectory() as folder:
            bundle = make_bundle(release, Path(folder))
            with in_environment(to):
                promoted = land(entry, bundle, target, reason, force=force)
    if isinstance(promoted.verdict, Promoted):
        record_promoted(release, to, promoted)
    return ended(promoted)
