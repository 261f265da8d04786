"""What the registry says about the champion, and what it is told about one that must not serve."""

from slipway.redeploy.values import Wanted
from slipway.registry import Registry
from slipway.registry.names import DETAILS, QUARANTINED, STATUS
from slipway.values import Cause, Release


def wanted(registry: Registry, model: str) -> Wanted | None:
    """Return the version that the alias ``champion`` names; None if it names none.

    A promotion moves the alias before it writes that the version is released: so a redeploy waits
    for its end, or it would refuse what is about to be good.
    """
    with registry.at_rest(model):
        version = registry.champion(model)
        if version is None:
            return None
        tags = registry.tags(model, version)
    details = tags.get(DETAILS)
    release = Release.model_validate_json(details) if details else None
    return Wanted(
        version=version,
        status=tags.get(STATUS),
        quarantine=tags.get(QUARANTINED),
        size_bytes=release.candidate.onnx.size_bytes if release else 0,
    )


def refuse(registry: Registry, model: str, version: int, serving: int, cause: Cause) -> None:
    """Quarantine ``version`` and move the alias back to the version that serves, as a rollback.

    An alias that names another version by now is left alone: there is nothing to put back.

    Raises:
        MoveRefused: If what serves may not be champion either; the alias stays, and it serves on.
        RegistryConflict: If the aliases could not be moved; they are as they were.
    """
    if registry.champion(model) == version:
        registry.roll_back(model, serving, cause)
