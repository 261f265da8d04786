"""What goes, what stays, and why. Pure.

Whatever a version needs that is in use stays. The rule of the catalogue decides about the rest.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from slipway.values import (
    CleanDecision,
    Fate,
    HomeFile,
    Inventory,
    LoggedFiles,
    RegisteredRelease,
    VersionState,
)

#: States of versions that may become champion.
_MAY_SERVE: frozenset[VersionState] = frozenset({"released", "approved"})
#: A version in such a state keeps its release from being promoted again, so its record stays.
_KEPT_OUT: frozenset[VersionState] = frozenset({"quarantined", "rejected"})


def decide(found: Inventory) -> tuple[CleanDecision, ...]:
    """Return what becomes of everything in an inventory."""
    since = found.at - timedelta(days=found.retention.days)
    newest = _newest(found.releases, found.retention.versions)
    releases = [_of_release(each, newest, since) for each in found.releases]
    unread = {
        address
        for each, release in zip(releases, found.releases, strict=True)
        if each.fate != "stays"
        for address in release.addresses
    }
    return (
        *releases,
        *(_of_logged(each, unread, since) for each in found.logged),
        *(_of_file(each, since) for each in found.files),
    )


def leaving(plan: Iterable[CleanDecision]) -> tuple[CleanDecision, ...]:
    """Return the decisions about what goes."""
    return tuple(each for each in plan if each.fate == "goes")


def _newest(releases: Iterable[RegisteredRelease], most: int) -> frozenset[int]:
    """Return the numbers of the newest versions that may serve."""
    numbers = sorted(each.number for each in releases if each.state in _MAY_SERVE)
    return frozenset(numbers[-most:])


def _of_release(
    release: RegisteredRelease, newest: Collection[int], since: datetime
) -> CleanDecision:
    fate: Fate = "stays"
    if not (reason := _need(release) or _kept_by_rule(release, newest, since)):
        if release.state in _KEPT_OUT:
            fate, reason = "files go", f"{release.state}, so its record stays"
        else:
            fate, reason = "goes", f"{release.state}, and nothing needs it"
    return CleanDecision(item=release, fate=fate, reason=reason)


def _kept_by_rule(
    release: RegisteredRelease, newest: Collection[int], since: datetime
) -> str | None:
    """Return by which part of the rule a version stays; None if it does not."""
    if release.state in _MAY_SERVE and release.number in newest:
        return f"among the newest {len(newest)} that may serve"
    return _recent(release.used_at) if release.used_at > since else None


def _need(release: RegisteredRelease) -> str | None:
    """Return what needs a version, whatever the rule says; None if nothing does."""
    if release.aliases:
        return f"has the alias {', '.join(release.aliases)}"
    if release.pinned:
        return "pinned by its tag"
    if release.served:
        return "a model server of this machine has it"
    if release.copied_to:
        return f"{', '.join(release.copied_to)} is a copy of it"
    return "waits for approval" if release.state == "pending" else None


def _of_logged(logged: LoggedFiles, unread: Collection[str], since: datetime) -> CleanDecision:
    readers = [address for address in logged.read_by if address not in unread]
    fate: Fate = "stays"
    if readers:
        reason = f"{', '.join(readers)} reads it"
    elif logged.running:
        reason = "its release is running"
    elif logged.read_by:
        fate, reason = "goes", f"read by {', '.join(logged.read_by)} alone"
    elif logged.used_at > since:
        reason = _recent(logged.used_at)
    else:
        fate, reason = "goes", "no version reads it"
    return CleanDecision(item=logged, fate=fate, reason=reason)


def _of_file(file: HomeFile, since: datetime) -> CleanDecision:
    if file.served:
        return CleanDecision(
            item=file, fate="stays", reason="a model server of this machine has it"
        )
    if file.used_at > since:
        return CleanDecision(item=file, fate="stays", reason=_recent(file.used_at))
    return CleanDecision(item=file, fate="goes", reason=f"last used {file.used_at:%Y-%m-%d}")


def _recent(used_at: datetime) -> str:
    return f"used {used_at:%Y-%m-%d}"
