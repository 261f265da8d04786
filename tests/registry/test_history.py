"""Who was champion when: the record, folded, and held against the aliases as they are."""

from datetime import UTC, datetime, timedelta

import pytest

from slipway.registry import history
from slipway.tracking.lease import Lease
from slipway.tracking.tags import AT
from slipway.values import AliasChange, AliasChangeKind, AuditInfo
from tests.support.fake_registry import ANN, FakeRegistry

START = datetime(2026, 11, 1, tzinfo=UTC)


def move(
    day: int, before: int | None, after: int | None, kind: AliasChangeKind = "promotion"
) -> AliasChange:
    """Return a move that was made on this day."""
    return AliasChange(
        run_id=f"run-{day}",
        kind=kind,
        at=START + timedelta(days=day),
        audit=ANN,
        before=before,
        after=after,
        version=after,
    )


def told(
    moves: list[AliasChange], champion: int | None
) -> list[tuple[int | None, str, int | None]]:
    """Return version, kind and last day of every reign."""
    return [
        (each.version, each.kind, (each.until - START).days if each.until else None)
        for each in history.champion_periods(moves, champion)
    ]


def test_each_reign_ends_where_the_next_begins() -> None:
    """In order of time, in whatever order the record is read."""
    moves = [move(5, 2, 1, "rollback"), move(1, None, 1), move(3, 1, 2)]

    assert told(moves, 1) == [(1, "promotion", 3), (2, "promotion", 5), (1, "rollback", None)]


@pytest.mark.parametrize(
    "still", [move(2, 1, 1), move(2, 1, 1, "rejection")], ids=["stops at candidate", "rejected"]
)
def test_a_move_that_leaves_the_champion_is_no_reign(still: AliasChange) -> None:
    """What stops at candidate, or is rejected, changes nothing of who serves."""
    assert told([move(1, None, 1), still], 1) == [(1, "promotion", None)]


def test_an_alias_that_is_not_where_the_record_left_it_was_moved_by_hand() -> None:
    """Since when is not known; so it is not told."""
    assert told([move(1, None, 1)], 7) == [(1, "promotion", None), (7, "by-hand", None)]


def test_a_gap_in_the_record_was_a_hand_too() -> None:
    """A promotion that found another champion than was left ends that one's time."""
    expected = [(1, "promotion", None), (7, "by-hand", 4), (2, "promotion", None)]

    assert told([move(1, None, 1), move(4, 7, 2)], 2) == expected


def test_an_alias_that_was_deleted_ends_the_reign() -> None:
    """Nobody serves, and that is a time of its own."""
    assert told([move(1, None, 1)], None) == [(1, "promotion", None), (None, "by-hand", None)]


def test_nothing_recorded_is_no_history() -> None:
    """Before the first release."""
    assert told([], None) == []


def test_the_registry_tells_who_and_why(fake_registry: FakeRegistry) -> None:
    """What people did, in their own words, with the run that records it."""
    bob = AuditInfo(actor="bob@harbour", reason="it answers in verse")
    fake_registry.release("one")
    fake_registry.release("two")
    undone = fake_registry.registry.roll_back(fake_registry.model, None, bob)

    first, second, third = fake_registry.registry.history(fake_registry.model)

    assert [each.version for each in (first, second, third)] == [1, 2, 1]
    assert first.until == second.since
    assert (third.kind, third.audit, third.run_id, third.until) == (
        "rollback",
        bob,
        undone.run_id,
        None,
    )


def test_a_move_by_hand_is_seen_and_then_recorded_once(fake_registry: FakeRegistry) -> None:
    """Whoever reconciles next writes it down; from then on it has a time."""
    fake_registry.release("one")
    fake_registry.release("two")
    fake_registry.registry.client.set_registered_model_alias(fake_registry.model, "champion", "1")
    seen = fake_registry.registry.history(fake_registry.model)[-1]

    noted = fake_registry.registry.record_manual_change(fake_registry.model)

    assert (seen.version, seen.kind, seen.since, seen.run_id) == (1, "by-hand", None, None)
    assert noted is not None
    assert (noted.kind, noted.before, noted.after) == ("by-hand", 2, 1)
    assert fake_registry.registry.record_manual_change(fake_registry.model) is None
    last = fake_registry.registry.history(fake_registry.model)[-1]
    assert (last.version, last.since, last.run_id) == (1, noted.at, noted.run_id)


def test_the_last_change_is_the_newest_whatever_a_clock_says(
    fake_registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine of the first release is an hour ahead of the one of the second."""
    with monkeypatch.context() as patch:
        ahead = Lease(start=datetime.now(UTC) + timedelta(hours=1))
        patch.setattr(fake_registry.registry, "_lease", lambda: ahead)
        fake_registry.release("one")

    fake_registry.release("two")

    model, registry = fake_registry.model, fake_registry.registry
    assert next(registry.newest_changes(model)).after == 2
    assert [each.kind for each in registry.history(model)] == ["promotion", "promotion"]
    assert registry.manual_fault(model, needs_approval=True) is None


def test_a_rollback_on_a_machine_whose_clock_is_days_slow_is_the_newest_change(
    fake_registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the champion that it restores would count as chosen by hand."""
    fake_registry.release("one")
    fake_registry.release("two")
    model, registry = fake_registry.model, fake_registry.registry
    slow = Lease(start=datetime.now(UTC) - timedelta(days=2))
    monkeypatch.setattr(registry, "_lease", lambda: slow)

    registry.roll_back(model, None, ANN)

    assert next(registry.newest_changes(model)).after == 1
    assert registry.manual_fault(model, needs_approval=True) is None


@pytest.mark.parametrize("year", [3000, 9999])
def test_a_change_that_somebody_dated_far_ahead_orders_nothing(
    fake_registry: FakeRegistry, year: int
) -> None:
    """Who may release may write such a record; a rollback goes on, and is of today."""
    fake_registry.release("one")
    fake_registry.release("two")
    model, client = fake_registry.model, fake_registry.registry.client
    there = client.get_experiment_by_name(f"{model}/promotions").experiment_id
    (record, *_) = client.search_runs([there])
    at = datetime(year, 12, 31, 23, 59, 59, 999_999, UTC)
    elsewhere = client.create_experiment(f"{model}/candidates")
    ahead = record.data.tags | {AT: at.isoformat()}
    run = client.create_run(elsewhere, start_time=int(at.timestamp() * 1000), tags=ahead)
    client.set_terminated(run.info.run_id, "FINISHED")

    change = fake_registry.registry.roll_back(model, None, ANN)

    assert change.after == 1
    assert change.at < datetime.now(UTC) + timedelta(minutes=1)
