"""What the registry says about the champion."""

from slipway.redeploy.values import Wanted
from slipway.registry import Registry
from slipway.tracking.tags import QUARANTINED, RELEASE, STATUS
from slipway.values import Release


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
    details = tags.get(RELEASE)
    release = Release.model_validate_json(details) if details else None
    return Wanted(
        version=version,
        status=tags.get(STATUS),
        quarantine=tags.get(QUARANTINED),
        size_bytes=release.versions.onnx.size_bytes if release else 0,
    )
