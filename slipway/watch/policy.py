"""What follows from a look at a source: a release is started, or not, and why. Pure."""

from collections.abc import Sequence

from slipway.errors import AccessDenied, ScanPending, SlipwayError, SourceMissing, Unreachable
from slipway.values import ReleaseStatus, RunState, SourceState, WatchResult
from slipway.values.watch import State

#: How often one release key is tried before a person has to look.
ATTEMPTS = 3

_BY_HAND = "release it by hand to try again"


def decide(seen: SourceState, key: str, standing: ReleaseStatus) -> WatchResult:
    """Return what follows from what was seen, given what is known of its release key.

    What is there is compared with what was released, never with what an event said: so a lost, a
    doubled or a late event changes nothing but the moment.

    Args:
        seen: The source, now and at the last look.
        key: The release key of what is there now.
        standing: What is known of that key.
    """
    state, reason = _judged(seen, standing)
    return WatchResult(
        model=seen.model,
        commit=seen.now.revision.commit,
        digest=seen.now.revision.digest,
        key=key,
        state=state,
        reason=reason,
        attempt=next_attempt(standing.attempts) if state == "new" else None,
    )


def missed(model: str, error: SlipwayError) -> WatchResult:
    """Return what follows from a source that could not be looked at.

    Args:
        model: Name of the entry.
        error: What was in the way.
    """
    state: State = "refused"
    if isinstance(error, ScanPending):
        state = "waiting"
    elif isinstance(error, Unreachable | SourceMissing | AccessDenied):
        state = "unreachable"
    return WatchResult(model=model, state=state, reason=str(error))


def next_attempt(attempts: Sequence[RunState]) -> int | None:
    """Return the number of the attempt that may be started, from 1.

    Args:
        attempts: What became of those before.

    Returns:
        None if one is running, one was ended by a decision, or too many have failed.
    """
    failed = attempts.count("failed")
    return failed + 1 if failed == len(attempts) and failed < ATTEMPTS else None


def _judged(seen: SourceState, standing: ReleaseStatus) -> tuple[State, str]:
    if standing.quarantined is not None:
        return "quarantined", standing.quarantined
    if standing.refused is not None:
        return "refused", standing.refused
    if standing.waiting:
        return "waiting", "its release waits for a person's approval"
    if standing.released:
        return _released(seen)
    return _unreleased(seen, standing.attempts)


def _released(seen: SourceState) -> tuple[State, str]:
    if seen.before is None or not seen.moved:
        return "released", "this very release is there"
    if seen.before.revision.digest == seen.now.revision.digest:
        return "ignored", "the new commit changes no file that a release uses"
    return "ignored", "what the new commit holds was released before"


def _unreleased(seen: SourceState, attempts: Sequence[RunState]) -> tuple[State, str]:
    attempt = next_attempt(attempts)
    if attempt is not None and attempt > 1:
        return "new", f"attempt {attempt} of {ATTEMPTS}: the last one failed"
    if attempt is not None:
        return "new", f"{seen.now.revision.commit[:8]} is not released yet"
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
