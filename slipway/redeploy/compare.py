"""Whether what serves has to change. Pure: it is told everything and touches nothing."""

from slipway.redeploy.values import Deploy, NoChange, RedeployDecision, Reject, Serving, Wanted

RELEASED = "released"


def compare(model: str, serving: Serving | None, wanted: Wanted | None) -> RedeployDecision:
    """Compare what serves with what the alias ``champion`` names.

    Args:
        model: Name of the registered model.
        serving: What its server answers with; None if no server runs.
        wanted: What the alias names; None if there is no alias.
    """
    if serving is None:
        return NoChange(reason=f"no server of {model} runs; the next one starts with its champion")
    if wanted is None:
        return NoChange(reason=f"{model} has no champion; version {serving.version} serves on")
    if wanted.version == serving.version and not serving.mixed:
        return NoChange(reason=f"version {wanted.version} serves already")
    if wanted.version != serving.version and (fault := _fault(wanted)):
        return Reject(version=wanted.version, serving=serving.version, reason=fault)
    return Deploy(version=wanted.version, serving=serving.version, size_bytes=wanted.size_bytes)


def _fault(wanted: Wanted) -> str | None:
    """Return why a version must not be tried at all."""
    if wanted.quarantine is not None:
        return f"it is quarantined: {wanted.quarantine}"
    if wanted.status != RELEASED:
        return "it has not passed the gates: its tag slipway.status is not 'released'"
    return None


def needed_bytes(size_bytes: int) -> int:
    """Return about how much memory a second copy of a version takes beside the one that serves.

    The weights, a share for cache and packing, and the processes around them.
    """
    return int(size_bytes * 1.3) + 600_000_000
