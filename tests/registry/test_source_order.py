"""The registry refuses an older source while it holds the lock, unless a person insists."""

from datetime import UTC, datetime
from itertools import permutations

import pytest

from slipway.values import Release
from tests.support.fake_registry import ANN, FakeRegistry

DAYS = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 3, 4)]


def test_an_older_source_is_rejected_and_nothing_is_moved(fake_registry: FakeRegistry) -> None:
    """It was resolved first, and its release ended last."""
    fake_registry.release("new", dated=DAYS[1])
    before = fake_registry.aliases()

    late = fake_registry.release("old", dated=DAYS[0])

    assert late.verdict.kind == "rejected"
    assert "is older than" in late.verdict.reasons[0]
    assert late.promotion is None
    assert fake_registry.aliases() == before
    assert fake_registry.registry.released(fake_registry.model, "old") is None


def test_a_person_may_insist(fake_registry: FakeRegistry) -> None:
    """With a reason, which the caller records."""
    fake_registry.release("new", dated=DAYS[1])

    late = fake_registry.release("old", dated=DAYS[0], overtakes=True)

    assert late.verdict.kind == "promoted"
    assert fake_registry.registry.champion(fake_registry.model) == 2


def test_an_older_source_does_not_supersede_a_newer_one_that_waits(
    fake_registry: FakeRegistry,
) -> None:
    """The person is still asked about the newer one, and may approve it."""
    fake_registry.release("new", "approval", dated=DAYS[1])

    late = fake_registry.release("old", "approval", dated=DAYS[0])

    assert late.verdict.kind == "rejected"
    assert fake_registry.registry.waiting(fake_registry.model) == 1
    approved = fake_registry.registry.decide(fake_registry.model, 1, "approve", ANN)
    assert approved.dated == DAYS[1]


def test_a_rollback_goes_back_to_an_older_source(fake_registry: FakeRegistry) -> None:
    """A person or a watch asks for it; what is newer than that may follow."""
    for number in (0, 3):
        fake_registry.release(f"day-{number}", dated=DAYS[number])
    fake_registry.registry.roll_back(fake_registry.model, None, ANN)

    between = fake_registry.release("day-1", dated=DAYS[1])

    assert between.verdict.kind == "promoted"
    assert fake_registry.registry.champion(fake_registry.model) == 3


@pytest.mark.slow
@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_newest_of_four_is_champion_in_every_order(
    fake_registry: FakeRegistry, order: tuple[int, ...]
) -> None:
    """Each release ends when the one before it has ended."""
    releases: dict[int, Release] = {}
    for number in order:
        releases[number] = fake_registry.release(f"day-{number}", dated=DAYS[number])

    newest = releases[3].versions.onnx.version
    assert fake_registry.registry.champion(fake_registry.model) == newest
