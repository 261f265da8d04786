"""What serves is compared with what should; every case has one answer, with words for people."""

import pytest

from slipway.redeploy import Deploy, NoChange, Reject, Serving, Wanted, compare
from slipway.redeploy.compare import needed_bytes

SERVING = Serving(model="tiny", version=3, digest="d" * 64, workers=2)
MIXED = SERVING.model_copy(update={"mixed": True})
WANTED = Wanted(version=4, status="released", quarantine=None, size_bytes=1_000)


@pytest.mark.parametrize(
    ("serving", "wanted", "words"),
    [
        pytest.param(None, WANTED, "no server of tiny runs", id="no server"),
        pytest.param(SERVING, None, "tiny has no champion; version 3 serves on", id="no champion"),
        pytest.param(
            SERVING,
            WANTED.model_copy(update={"version": 3}),
            "version 3 serves already",
            id="equal",
        ),
        pytest.param(
            SERVING,
            Wanted(version=3, status=None, quarantine="slow", size_bytes=1),
            "version 3 serves already",
            id="equal, whatever is known of it: there is nothing to return to",
        ),
    ],
)
def test_there_is_nothing_to_do(serving: Serving | None, wanted: Wanted | None, words: str) -> None:
    """And it is said why."""
    decision = compare("tiny", serving, wanted)

    assert isinstance(decision, NoChange)
    assert words in decision.reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": None}, "it has not passed the gates"),
        ({"status": "candidate"}, "it has not passed the gates"),
        ({"quarantine": "too slow"}, "it is quarantined: too slow"),
        ({"quarantine": ""}, "it is quarantined"),
    ],
)
def test_a_version_that_must_not_serve_is_not_even_tried(
    change: dict[str, str | None], words: str
) -> None:
    """The decision names it, what serves, and the reason."""
    decision = compare("tiny", SERVING, WANTED.model_copy(update=change))

    assert isinstance(decision, Reject)
    assert (decision.version, decision.serving) == (4, 3)
    assert words in decision.reason


@pytest.mark.parametrize("serving", [SERVING, MIXED])
@pytest.mark.parametrize("version", [2, 4])
def test_another_version_is_tried_be_it_newer_or_older(serving: Serving, version: int) -> None:
    """A rollback is a redeploy like any other."""
    decision = compare("tiny", serving, WANTED.model_copy(update={"version": version}))

    assert decision == Deploy(version=version, serving=3, size_bytes=1_000)


def test_workers_of_two_versions_are_brought_together() -> None:
    """What an interrupted switch left behind is finished, also back to the older version."""
    decision = compare("tiny", MIXED, WANTED.model_copy(update={"version": 3}))

    assert isinstance(decision, Deploy)


def test_a_second_copy_needs_more_than_its_files() -> None:
    """A third more for the cache, and what the processes around it take."""
    assert needed_bytes(0) == 600_000_000
    assert needed_bytes(10_000_000_000) == 13_600_000_000
