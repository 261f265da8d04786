"""What the registry says about the champion, and what it is told about one that must not serve."""

from slipway.redeploy.values import Wanted
from slipway.registry import Registry
from slipway.registry.names import DETAILS, QUARANTINED, STATUS
from slipway.values import Release


def wanted(registry: Registry, model: str) -> Wanted | None:
    """Return the version that the alias ``champion`` names; None if it names none."""
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


def refuse(registry: Registry, model: str, version: int, serving: int, reason: str) -> None:
    """Quarantine ``version`` and move the alias back to the version that serves.

    An alias that names another version by now is left alone.
    """
    if registry.champion(model) != version:
        return
    registry.client.set_model_version_tag(model, str(version), QUARANTINED, reason)
    for name in (model, f"{model}-transformers"):
        registry.client.set_registered_model_alias(name, "champion", str(serving))
