"""What things are called in MLflow, and what a version's tags say of it. Pure."""

from collections.abc import Mapping

from slipway.tracking.tags import APPROVAL, DECIDED, QUARANTINED, STATUS
from slipway.values import WrapperKind


def registered_name(model: str, kind: WrapperKind) -> str:
    """Return the registered model under which one wrapper of the entry ``model`` stands."""
    return model if kind == "onnx" else f"{model}-{kind}"


def obstacle(tags: Mapping[str, str]) -> str | None:
    """Return why a version with these tags may not serve; None if it may."""
    if tags.get(STATUS) != "released":
        return "is not released"
    if reason := tags.get(QUARANTINED):
        return f"is quarantined ({reason})"
    if is_open(tags):
        return "waits for approval"
    return "was not approved" if tags.get(APPROVAL, "approved") != "approved" else None


def to_lift(model: str) -> str:
    """Return how a person lifts a quarantine."""
    return f"lift it with slipway release {model} --lift-quarantine"


def is_open(tags: Mapping[str, str]) -> bool:
    """Tell whether an approval was asked for and no answer was carried out yet."""
    return APPROVAL in tags and DECIDED not in tags
