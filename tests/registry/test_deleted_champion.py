"""Somebody deletes the champion in the MLflow UI: every command says so, and leads out of it."""

import pytest

from commands.status import _period
from slipway.errors import MoveRefused
from slipway.values import AuditInfo, Release
from tests.support.fake_registry import FakeRegistry

BOB = AuditInfo(actor="bob@harbour", reason="version 2 was deleted by mistake")


@pytest.fixture
def first(fake_registry: FakeRegistry) -> Release:
    """Release two versions, and delete the second, which is champion, of the serving model."""
    release = fake_registry.release("one")
    fake_registry.release("two")
    fake_registry.registry.client.delete_model_version(fake_registry.model, "2")
    return release


def test_a_release_is_found_with_the_aliases_that_it_has_now(
    fake_registry: FakeRegistry, first: Release
) -> None:
    """It was champion, and is not any more."""
    found = fake_registry.registry.released(fake_registry.model, "one")

    assert first.promotion is not None
    assert first.promotion.aliases == ("candidate", "champion")
    assert found is not None
    assert found.promotion is not None
    assert found.promotion.aliases == ("previous",)


def test_a_rollback_makes_the_previous_version_champion_in_both_models(
    fake_registry: FakeRegistry, first: Release
) -> None:
    """Nothing is quarantined, and neither wrapper keeps a ``previous`` of another release."""
    change = fake_registry.registry.roll_back(fake_registry.model, None, BOB)

    served, reference = fake_registry.aliases()
    assert (change.before, change.after) == (None, 1)
    assert served == {"champion": 1}
    assert reference == {"champion": 1, "candidate": 2}
    state = fake_registry.registry.state(f"{fake_registry.model}-transformers", 2)
    assert state is not None
    assert state.quarantined is None


def test_the_next_release_keeps_previous_of_both_wrappers_equal(
    fake_registry: FakeRegistry, first: Release
) -> None:
    """The reference's orphan of version 2 does not become its previous version."""
    fake_registry.release("three")

    served, reference = fake_registry.aliases()
    assert served == reference == {"candidate": 3, "champion": 3, "previous": 1}


def test_previous_is_of_one_release_where_the_champions_reference_was_deleted(
    fake_registry: FakeRegistry,
) -> None:
    """The reference of the release before that one is not taken for it."""
    fake_registry.release("one")
    fake_registry.release("two")
    fake_registry.registry.client.delete_model_version(f"{fake_registry.model}-transformers", "2")

    fake_registry.release("three")

    served, reference = fake_registry.aliases()
    assert (served["champion"], served["previous"]) == (3, 2)
    assert reference == {"candidate": 3, "champion": 3}


def test_status_says_that_the_last_released_version_was_deleted(
    fake_registry: FakeRegistry, first: Release
) -> None:
    """Its run stays, so that the last release is known."""
    last = fake_registry.registry.last_release(fake_registry.model)

    assert last is not None
    assert (last.verdict, last.reason) == (
        "promoted",
        "its version was deleted from the registry since",
    )


def test_the_history_says_that_nobody_recorded_the_end(
    fake_registry: FakeRegistry, first: Release
) -> None:
    """Only the period that lasts has a dash in place of its end."""
    *_, deleted, none = fake_registry.registry.history(fake_registry.model)

    assert (deleted.version, none.version) == (2, None)
    assert _period(deleted, lasts=False)[2] == "not recorded"
    assert _period(none, lasts=True)[:3] == ("none", "not recorded", "-")


def test_without_a_previous_version_a_release_is_what_helps(fake_registry: FakeRegistry) -> None:
    """The error names the command."""
    fake_registry.release("one")
    fake_registry.registry.client.delete_model_version(fake_registry.model, "1")

    with pytest.raises(MoveRefused, match=f"slipway release {fake_registry.model}"):
        fake_registry.registry.roll_back(fake_registry.model, None, BOB)
