"""What follows from the state of a source: a release is started, or not, and why. Pure."""

from collections.abc import Sequence

from slipway.errors import AccessDenied, ScanPending, SlipwayError, SourceMissing, Unreachable
from slipway.values import ReleaseStatus, RunState, SourceState, WatchResult, WatchState

#: How often one release key is tried before a person has to look.
ATTEMPTS = 3

_BY_HAND = "release it by hand to try again"


def decide(source: SourceState, key: str, status: ReleaseStatus) -> WatchResult:
    """Return what follows from the state of a source and what is known of its release key.

    The source is compared with what was released, never with the content of an event: so a lost, a
    repeated or a late event only changes when a release starts.

    Args:
        source: Now and at the last poll.
        key: The release key of its present revision.
        status: What is known of that key.
    """
    state, reason = _decided(source, status)
    return WatchResult(
        model=source.model,
        commit=source.now.revision.commit,
        digest=source.now.revision.digest,
        key=key,
        state=state,
        reason=reason,
        attempt=next_attempt(status.attempts) if state == "new" else None,
    )


def unanswered(model: str, error: Exception) -> WatchResult:
    """Return what follows from a model about which nothing could be found out, given the error."""
    state: WatchState = "refused"
    if isinstance(error, ScanPending):
        state = "waiting"
    elif isinstance(error, Unreachable | SourceMissing | AccessDenied):
        state = "unreachable"
    reason = str(error) if isinstance(error, SlipwayError) else f"{type(error).__name__}: {error}"
    return WatchResult(model=model, state=state, reason=" ".join(reason.split())[:500])


def next_attempt(attempts: Sequence[RunState]) -> int | None:
    """Return the number of the attempt that may be started, from 1, given those before.

    Returns:
        None if one is running, one was ended by a decision, or too many have failed.
    """
    failed = attempts.count("failed")
    return failed + 1 if failed == len(attempts) and failed < ATTEMPTS else None


def _decided(source: SourceState, status: ReleaseStatus) -> tuple[WatchState, str]:
    if status.quarantined is not None:
        return "quarantined", status.quarantined
    if status.refused is not None:
        return "refused", status.refused
    if status.waiting:
        return "waiting", "its release waits for a person's approval"
    if status.released:
        return _released(source)
    return _unreleased(source, status.attempts)


def _released(source: SourceState) -> tuple[WatchState, str]:
    if source.before is None or not source.moved:
        return "released", "the same release is there"
    if source.before.revision.digest == source.now.revision.digest:
        return "ignored", "the new commit changes no file that a release uses"
    return "ignored", "what the new commit holds was released before"


def _unreleased(source: SourceState, attempts: Sequence[RunState]) -> tuple[WatchState, str]:
    attempt = next_attempt(attempts)
    if attempt is not None and attempt > 1:
        return "new", f"attempt {attempt} of {ATTEMPTS}: the last one failed"
    if attempt is not None:
        return "new", f"{source.now.revision.short} is not released yet"
    if "running" in attempts:
        return "waiting", "its release is under way"
    if "ended" in attempts:
        return "refused", f"its release ended without a promotion; {_BY_HAND}"
    if "cancelled" in attempts:
        return "refused", f"its release was cancelled; {_BY_HAND}"
    return (
        "refused",
        f"{len(attempts)} releases of it failed; see the last one's log, then {_BY_HAND}",
    )
