"""The order of steps in which a bundle becomes a release, wherever it comes from."""

from slipway.tracking.bundle import Bundle
from slipway.values import Entry, PromotionTarget, Release
from tasks.entries import find_champion
from tasks.land import decide_again, promote_bundle, register_bundle
from tasks.smoke_test import smoke_test


def land(
    entry: Entry, bundle: Bundle, target: PromotionTarget, reason: str | None, *, force: bool
) -> Release:
    """Return how a release ended in the registry that this process works with.

    Args:
        entry: The model, whose suite and limits count.
        bundle: The release.
        target: How far it may go.
        reason: Why, for the record.
        force: Whether it may overtake a champion of a newer source.
    """
    versions = register_bundle(entry, bundle)
    champion = find_champion(entry)
    report = smoke_test(entry, versions, bundle.run.precision, champion)
    return promote_bundle(
        bundle=bundle,
        versions=versions,
        verdict=decide_again(entry, bundle, report, champion),
        target=target,
        reason=reason,
        force=force,
    )
