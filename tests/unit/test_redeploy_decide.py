"""The served version is compared with the champion; every case has one decision and its reason."""

import pytest

from slipway.redeploy.compare import compare
from slipway.redeploy.deployment import needed_bytes
from slipway.redeploy.values import ChampionState, Deploy, NoChange, Reject, Serving

SERVING = Serving(model="tiny", version=3, digest="d" * 64, workers=2)
MIXED = SERVING.model_copy(update={"mixed": True})
CHAMPION = ChampionState(version=4, status="released", quarantine=None, size_bytes=1_000)


@pytest.mark.parametrize(
    ("serving", "champion", "reason"),
    [
        pytest.param(
            None,
            CHAMPION,
            "no server of tiny is running; the next starts its champion",
            id="no server",
        ),
        pytest.param(
            None,
            None,
            "no server of tiny is running; it has no champion to start",
            id="neither server nor champion",
        ),
        pytest.param(
            SERVING, None, "tiny has no champion; version 3 is still serving", id="no champion"
        ),
        pytest.param(
            SERVING,
            CHAMPION.model_copy(update={"version": 3}),
            "version 3 is already serving",
            id="equal",
        ),
        pytest.param(
            SERVING,
            ChampionState(version=3, status=None, quarantine="slow", size_bytes=1),
            "version 3 is already serving",
            id="equal and quarantined: there is no version to return to",
        ),
    ],
)
def test_there_is_nothing_to_do(
    serving: Serving | None, champion: ChampionState | None, reason: str
) -> None:
    """The decision has the reason."""
    decision = compare("tiny", serving, champion)

    assert isinstance(decision, NoChange)
    assert reason in decision.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": None}, "it has not passed the gates"),
        ({"status": "candidate"}, "it has not passed the gates"),
        ({"quarantine": "too slow"}, "it is quarantined: too slow"),
        ({"quarantine": ""}, "it is quarantined"),
    ],
)
def test_a_version_that_must_not_be_served_is_not_started(
    change: dict[str, str | None], reason: str
) -> None:
    """The decision has the version, the served version and the reason."""
    decision = compare("tiny", SERVING, CHAMPION.model_copy(update=change))

    assert isinstance(decision, Reject)
    assert (decision.version, decision.serving) == (4, 3)
    assert reason in decision.reason


@pytest.mark.parametrize("serving", [SERVING, MIXED])
@pytest.mark.parametrize("version", [2, 4])
def test_another_version_is_deployed_whether_newer_or_older(serving: Serving, version: int) -> None:
    """A rollback is a redeploy like any other."""
    decision = compare("tiny", serving, CHAMPION.model_copy(update={"version": version}))

    assert decision == Deploy(version=version, serving=3, size_bytes=1_000)


def test_workers_of_two_versions_are_brought_to_the_champion() -> None:
    """An interrupted switch is completed, also back to the older version."""
    decision = compare("tiny", MIXED, CHAMPION.model_copy(update={"version": 3}))

    assert isinstance(decision, Deploy)


def test_a_second_copy_needs_more_than_its_files() -> None:
    """30 % more for the cache, and the memory of the processes around it."""
    assert needed_bytes(0) == 600_000_000
    assert needed_bytes(10_000_000_000) == 13_600_000_000
