"""Compares the served version with the champion."""

from slipway.redeploy.values import (
    ChampionState,
    Deploy,
    NoChange,
    RedeployDecision,
    Reject,
    Serving,
)
from slipway.registry import Registry

RELEASED = "released"


def champion_state(registry: Registry, model: str) -> ChampionState | None:
    """Return the version that the alias ``champion`` names; None if there is no such alias.

    A promotion moves the alias before it sets the status tag. So this waits until a promotion has
    ended: otherwise a version would be rejected that is about to be released.
    """
    with registry.consistent_read(model):
        version = registry.champion(model)
        if version is None:
            return None
        state = registry.state(model, version)
    if state is None:
        return None
    return ChampionState(
        version=version,
        status=RELEASED if state.released else None,
        quarantine=state.quarantined,
        size_bytes=state.release.versions.onnx.size_bytes if state.release else 0,
    )


def compare(
    model: str, serving: Serving | None, champion: ChampionState | None
) -> RedeployDecision:
    """Decide whether to deploy the champion. Pure.

    Args:
        model: Name of the registered model.
        serving: What its server answers with; None if no server is running.
        champion: What the alias names; None if there is no alias.
    """
    if serving is None:
        then = "the next starts its champion" if champion else "it has no champion to start"
        return NoChange(reason=f"no server of {model} is running; {then}")
    if champion is None:
        reason = f"{model} has no champion; version {serving.version} is still serving"
        return NoChange(reason=reason)
    if champion.version == serving.version and not serving.mixed:
        return NoChange(reason=f"version {champion.version} is already serving")
    if champion.version != serving.version and (obstacle := _obstacle(champion)):
        return Reject(version=champion.version, serving=serving.version, reason=obstacle)
    return Deploy(version=champion.version, serving=serving.version, size_bytes=champion.size_bytes)


def _obstacle(champion: ChampionState) -> str | None:
    """Return why a version must not be started; None if it may be."""
    if champion.quarantine is not None:
        return f"it is quarantined: {champion.quarantine}"
    if champion.status != RELEASED:
        return "it has not passed the gates: its tag slipway.status is not 'released'"
    return None
