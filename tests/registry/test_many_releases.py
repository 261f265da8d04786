"""A model that is released daily: what is read of its history is what is asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from slipway.registry import Registry
from slipway.values import AuditInfo
from tests.support.fake_registry import FakeRegistry, new_registry
from tests.support.large_registry import fill

RELEASES = 130
#: More than the first two pages of MLflow's answers hold.
PAGES = 3


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory) -> FakeRegistry:
    """Return a model with many releases; these tests read it."""
    model = FakeRegistry(
        new_registry(tmp_path_factory.mktemp("registry")), tmp_path_factory.mktemp("files")
    )
    fill(model, RELEASES)
    return model


@contextmanager
def counted(registry: Registry, patch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Note how many runs each answer of MLflow holds."""
    search, sizes = registry.client.search_runs, list[int]()

    def count(*given: Any, **named: Any) -> Any:
        page = search(*given, **named)
        sizes.append(len(page))
        return page

    with patch.context() as patched:
        patched.setattr(registry.client, "search_runs", count)
        yield sizes


def test_more_changes_than_a_page_holds_are_all_told(
    daily: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once, in order, from as many pages as they need."""
    with counted(daily.registry, monkeypatch) as sizes:
        found = [change.after for change in daily.registry.changes(daily.model)]

    assert found == [*range(1, RELEASES + 1)]
    assert len(sizes) == PAGES


@pytest.mark.parametrize(
    "read",
    [
        lambda registry, model: registry.manual_fault(model, needs_approval=True),
        lambda registry, model: registry.record_manual_change(model),
        lambda registry, model: registry.undo_manual_change(model, needs_approval=True),
        lambda registry, model: registry.pending_events(model),
        lambda registry, model: registry.recover(model),
        lambda registry, model: registry.last_release(model),
    ],
    ids=["status", "record", "undo", "events", "recover", "last release"],
)
def test_the_newest_change_is_read_and_not_all_of_them(
    daily: FakeRegistry, monkeypatch: pytest.MonkeyPatch, read: Callable[[Registry, str], object]
) -> None:
    """Status, the check of a release that exists and reconcile ask for no more."""
    with counted(daily.registry, monkeypatch) as sizes:
        read(daily.registry, daily.model)

    assert sum(sizes) <= 10


@pytest.mark.parametrize("last", [1, 2, 9, 10, 11])
def test_the_newest_periods_are_those_of_the_whole_history(daily: FakeRegistry, last: int) -> None:
    """However many are asked for."""
    assert daily.registry.history(daily.model, last) == daily.registry.history(daily.model)[-last:]


def test_the_newest_periods_need_no_more_changes_than_that(
    daily: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty are what a person sees."""
    with counted(daily.registry, monkeypatch) as sizes:
        daily.registry.history(daily.model, 20)

    assert sum(sizes) == 40


def test_a_hand_that_moved_the_alias_is_among_the_newest_periods(tmp_path: Path) -> None:
    """It is a period that no change begins, wherever the reading of the changes ends."""
    (tmp_path / "registry").mkdir()
    model = FakeRegistry(new_registry(tmp_path / "registry"), tmp_path / "files")
    fill(model, 12)
    model.move_by_hand(5)
    model.release("after the hand")

    newest = [[each.version for each in model.registry.history(model.model, n)] for n in (1, 2, 3)]

    assert newest == [[13], [5, 13], [12, 5, 13]]


def test_the_champion_of_an_earlier_moment_is_found(daily: FakeRegistry) -> None:
    """By the changes since then."""
    periods = daily.registry.history(daily.model)

    for period in periods[-12:-1]:
        assert period.until
        assert daily.registry.champion_at(daily.model, period.until) == period.version + 1
        assert period.since
        assert daily.registry.champion_at(daily.model, period.since) == period.version


def test_events_of_two_versions_wait_in_the_order_of_their_changes(tmp_path: Path) -> None:
    """That of a change that a later one repeated is sent once, for the later one."""
    (tmp_path / "registry").mkdir()
    model = FakeRegistry(new_registry(tmp_path / "registry"), tmp_path / "files")
    model.release("one")
    model.release("two")
    undone = model.registry.roll_back(
        model.model, None, AuditInfo(actor="ann", reason="it answers in verse")
    )

    waiting = model.registry.pending_events(model.model)

    assert [each.after for each in waiting] == [2, 1]
    assert waiting[-1] == undone
