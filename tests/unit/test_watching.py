"""What follows from a look: a release is started exactly where one is missing, with a reason."""

import pytest

from slipway.errors import (
    LicenseNotAllowed,
    ScanPending,
    SlipwayError,
    SourceMissing,
    SourceRefused,
    Unreachable,
)
from slipway.values import LastSeen, ReleaseStatus, RunState, SourceState
from slipway.watch.policy import decide, next_attempt, unanswered
from tests.support import summaries

KEY = "cd" * 32


def watched(commit: str = "a", digest: str = "1") -> LastSeen:
    """Remember a commit with files of this digest."""
    changes = {"commit": commit * 40, "digest": digest * 64}
    return LastSeen(
        commits=(commit * 40,), entry="e", revision=summaries.weights(**changes).revision
    )


def seen(now: LastSeen | None = None, before: LastSeen | None = None) -> SourceState:
    """See a source."""
    return SourceState(model="tiny", now=now or watched(), before=before)


@pytest.mark.parametrize(
    ("look", "standing", "state", "why"),
    [
        pytest.param(seen(), ReleaseStatus(), "new", "is not released yet", id="first sight"),
        pytest.param(
            seen(watched("b", "2"), watched()),
            ReleaseStatus(),
            "new",
            "bbbbbbbb is not",
            id="new files",
        ),
        pytest.param(seen(), ReleaseStatus(released=True), "released", "is there", id="released"),
        pytest.param(
            seen(watched(), watched()),
            ReleaseStatus(released=True),
            "released",
            "is there",
            id="unmoved",
        ),
        pytest.param(
            seen(watched("b"), watched()),
            ReleaseStatus(released=True),
            "ignored",
            "changes no file",
            id="only the README",
        ),
        pytest.param(
            seen(watched("a", "1"), watched("b", "2")),
            ReleaseStatus(released=True),
            "ignored",
            "was released before",
            id="pushed back to an old commit",
        ),
        pytest.param(
            seen(),
            ReleaseStatus(released=True, waiting=True),
            "waiting",
            "a person's approval",
            id="a person has to approve",
        ),
        pytest.param(
            seen(), ReleaseStatus(refused="it loops"), "refused", "it loops", id="a gate said no"
        ),
        pytest.param(
            seen(),
            ReleaseStatus(quarantined="it leaked", released=True),
            "quarantined",
            "it leaked",
            id="quarantine outweighs a release",
        ),
        pytest.param(
            seen(), ReleaseStatus(attempts=("running",)), "waiting", "under way", id="under way"
        ),
        pytest.param(
            seen(), ReleaseStatus(attempts=("failed",)), "new", "attempt 2 of 3", id="failed once"
        ),
        pytest.param(
            seen(),
            ReleaseStatus(attempts=("failed", "running")),
            "waiting",
            "under way",
            id="second attempt under way",
        ),
        pytest.param(
            seen(),
            ReleaseStatus(attempts=("failed",) * 3),
            "refused",
            "3 releases of it failed",
            id="failed too often",
        ),
        pytest.param(
            seen(), ReleaseStatus(attempts=("ended",)), "refused", "without a promotion", id="kept"
        ),
        pytest.param(
            seen(), ReleaseStatus(attempts=("cancelled",)), "refused", "cancelled", id="cancelled"
        ),
    ],
)
def test_a_release_is_started_where_one_is_missing(
    look: SourceState, standing: ReleaseStatus, state: str, why: str
) -> None:
    """Every other state says why none is, and only a new one has an attempt."""
    result = decide(look, KEY, standing)

    assert (result.state, result.key) == (state, KEY)
    assert why in result.reason
    assert (result.attempt is not None) == (state == "new")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Unreachable("the Hub", "http://127.0.0.1:1", "refused"), "unreachable"),
        (SourceMissing("repository acme/tiny", "check the name"), "unreachable"),
        (ScanPending("acme/tiny@01234567"), "waiting"),
        (SourceRefused("model.bin", "is flagged", "use another"), "refused"),
        (LicenseNotAllowed("tiny", "other", ("mit",)), "refused"),
    ],
)
def test_a_source_that_cannot_be_looked_at_is_a_row_with_a_reason(
    error: SlipwayError, state: str
) -> None:
    """The reason is the error's own line, which says what to do."""
    result = unanswered("tiny", error)

    assert (result.state, result.reason, result.attempt) == (state, str(error), None)


@pytest.mark.parametrize(
    ("attempts", "number"),
    [
        ((), 1),
        (("failed",), 2),
        (("failed", "failed"), 3),
        (("failed", "failed", "failed"), None),
        (("running",), None),
        (("failed", "cancelled"), None),
        (("ended",), None),
    ],
)
def test_a_failed_attempt_is_made_again_a_few_times(
    attempts: tuple[RunState, ...], number: int | None
) -> None:
    """Whatever ended otherwise was somebody's decision."""
    assert next_attempt(attempts) == number
