"""Lists what a clean-up would delete, and deletes it."""

from collections.abc import Sequence
from datetime import datetime

from slipway.clean import home
from slipway.clean.decision import decide, leaving
from slipway.registry import open_registry
from slipway.settings import Settings
from slipway.tracking import model_storage
from slipway.values import (
    AuditInfo,
    CleanDecision,
    Entry,
    HomeFile,
    Inventory,
    LoggedFiles,
    RegisteredRelease,
    Retention,
)


def plan_home(settings: Settings, at: datetime) -> tuple[CleanDecision, ...]:
    """Return what becomes of caches, logs and results in the home."""
    retention = Retention(days=settings.keep_days)
    return decide(Inventory(at=at, retention=retention, files=home.files(settings)))


def plan_model(entry: Entry, settings: Settings, at: datetime) -> tuple[CleanDecision, ...]:
    """Return what becomes of a model's versions and files in MLflow; nothing without a rule."""
    if entry.retention is None or not settings.has_registry:
        return ()
    registry = open_registry(settings)
    releases = registry.releases(entry.name)
    found = Inventory(
        at=at,
        retention=entry.retention,
        releases=_as_used_here(releases, settings),
        logged=model_storage.logged_files(entry.name, registry.location, registry.readers()),
    )
    return decide(found)


def free_home(plan: Sequence[CleanDecision], at: datetime) -> tuple[CleanDecision, ...]:
    """Delete what a plan of the home lets go, and return it.

    Args:
        plan: As ``plan_home`` made it.
        at: When it was made; what was used since, stays.
    """
    return tuple(
        each
        for each in leaving(plan)
        if isinstance(each.item, HomeFile) and home.delete(each.item, at)
    )


def free_model(
    entry: Entry, plan: Sequence[CleanDecision], settings: Settings, audit: AuditInfo
) -> tuple[CleanDecision, ...]:
    """Delete what a plan of a model lets go, and return it.

    Raises:
        MoveRefused: If the state of a version changed; nothing was deleted.
        RegistryConflict: If a version is in use by now, likewise; or as ``removing`` says.
    """
    going = leaving(plan)
    if not going:
        return ()
    registry = open_registry(settings)
    gone = [each.item for each in going if isinstance(each.item, RegisteredRelease)]
    logged = [each.item for each in going if isinstance(each.item, LoggedFiles)]
    files = [each.name for each in logged]
    with registry.removing(entry.name, gone, _emptied(plan, logged), files, audit):
        for name in files:
            model_storage.delete(name, registry.location)
    return going


def _emptied(
    plan: Sequence[CleanDecision], logged: Sequence[LoggedFiles]
) -> list[RegisteredRelease]:
    """Return the releases whose versions stay, and whose files go."""
    read = {address for each in logged for address in each.read_by}
    return [
        each.item
        for each in plan
        if isinstance(each.item, RegisteredRelease)
        and each.fate == "files go"
        and read.intersection(each.item.addresses)
    ]


def _as_used_here(
    releases: Sequence[RegisteredRelease], settings: Settings
) -> tuple[RegisteredRelease, ...]:
    """Return releases with what this machine knows: when it loaded them, and what it serves."""
    used = {home.version_of(each.path): each.used_at for each in home.copies(settings)}
    served = home.served_versions(settings)
    found = []
    for release in releases:
        versions = [(name, str(number)) for name, number in release.versions]
        uses = [used[version] for version in versions if version in used]
        changes = {
            "used_at": max([release.used_at, *uses]),
            "served": not served.isdisjoint(versions),
        }
        found.append(release.model_copy(update=changes))
    return tuple(found)
