"""What follows from a look: a release is started exactly where one is missing, with a reason."""

import dossiers
import pytest

from slipway.errors import (
    LicenceNotAllowed,
    ScanPending,
    SlipwayError,
    SourceMissing,
    SourceRefused,
    Unreachable,
)
from slipway.values import Attempt, Seen, Standing, Watched
from slipway.watching import decide, missed, next_attempt

KEY = "cd" * 32


def watched(commit: str = "a", digest: str = "1") -> Watched:
    """Remember a commit with files of this digest."""
    changes = {"commit": commit * 40, "digest": digest * 64}
    return Watched(commits=(commit * 40,), entry="e", revision=dossiers.weights(**changes).revision)


def seen(now: Watched | None = None, before: Watched | None = None) -> Seen:
    """See a source."""
    return Seen(model="tiny", now=now or watched(), before=before)


@pytest.mark.parametrize(
    ("look", "standing", "state", "why"),
    [
        pytest.param(seen(), Standing(), "new", "is not released yet", id="first sight"),
        pytest.param(
            seen(watched("b", "2"), watched()), Standing(), "new", "bbbbbbbb is not", id="new files"
        ),
        pytest.param(seen(), Standing(released=True), "released", "is there", id="released"),
        pytest.param(
            seen(watched(), watched()),
            Standing(released=True),
            "released",
            "is there",
            id="unmoved",
        ),
        pytest.param(
            seen(watched("b"), watched()),
            Standing(released=True),
            "ignored",
            "changes no file",
            id="only the README",
        ),
        pytest.param(
            seen(watched("a", "1"), watched("b", "2")),
            Standing(released=True),
            "ignored",
            "was released before",
            id="pushed back to an old commit",
        ),
        pytest.param(
            seen(), Standing(refused="it loops"), "refused", "it loops", id="a gate said no"
        ),
        pytest.param(
            seen(),
            Standing(quarantined="it leaked", released=True),
            "quarantined",
            "it leaked",
            id="quarantine outweighs a release",
        ),
        pytest.param(
            seen(), Standing(attempts=("running",)), "waiting", "under way", id="under way"
        ),
        pytest.param(
            seen(), Standing(attempts=("failed",)), "new", "attempt 2 of 3", id="failed once"
        ),
        pytest.param(
            seen(),
            Standing(attempts=("failed", "running")),
            "waiting",
            "under way",
            id="second attempt under way",
        ),
        pytest.param(
            seen(),
            Standing(attempts=("failed",) * 3),
            "refused",
            "3 releases of it failed",
            id="failed too often",
        ),
        pytest.param(
            seen(), Standing(attempts=("ended",)), "refused", "without a promotion", id="kept"
        ),
        pytest.param(
            seen(), Standing(attempts=("cancelled",)), "refused", "cancelled", id="cancelled"
        ),
    ],
)
def test_a_release_is_started_where_one_is_missing(
    look: Seen, standing: Standing, state: str, why: str
) -> None:
    """Every other state says why none is, and only a new one has an attempt."""
    sighting = decide(look, KEY, standing)

    assert (sighting.state, sighting.key) == (state, KEY)
    assert why in sighting.reason
    assert (sighting.attempt is not None) == (state == "new")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Unreachable("the Hub", "http://127.0.0.1:1", "refused"), "unreachable"),
        (SourceMissing("repository acme/tiny", "check the name"), "unreachable"),
        (ScanPending("acme/tiny@01234567"), "waiting"),
        (SourceRefused("model.bin", "is flagged", "use another"), "refused"),
        (LicenceNotAllowed("tiny", "other", ("mit",)), "refused"),
    ],
)
def test_a_source_that_cannot_be_looked_at_is_a_row_with_a_reason(
    error: SlipwayError, state: str
) -> None:
    """The reason is the error's own line, which says what to do."""
    sighting = missed("tiny", error)

    assert (sighting.state, sighting.reason, sighting.attempt) == (state, str(error), None)


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
    attempts: tuple[Attempt, ...], number: int | None
) -> None:
    """Whatever ended otherwise was somebody's decision."""
    assert next_attempt(attempts) == number
