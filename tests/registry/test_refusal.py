"""A redeploy refuses the champion: alias and quarantine say what is true, whatever was before."""

import pytest

from slipway.errors import MoveRefused
from slipway.redeploy.compare import champion_state
from slipway.values import AuditInfo
from tests.support.fake_registry import FakeRegistry

BOB = AuditInfo(actor="bob@harbour", reason="it answers in verse")
EVENT = AuditInfo(actor="event", reason="it did not get ready")


def test_a_version_that_is_refused_again_keeps_its_first_reason(
    fake_registry: FakeRegistry,
) -> None:
    """A hand makes it champion twice more; the reason does not grow."""
    fake_registry.release("one")
    fake_registry.release("two")
    fake_registry.registry.reject_champion(fake_registry.model, 2, 1, EVENT)
    reason = fake_registry.tags(2)["slipway.quarantined"]
    for _ in range(2):
        fake_registry.move_by_hand(2)
        wanted = champion_state(fake_registry.registry, fake_registry.model)
        assert wanted is not None
        again = EVENT.model_copy(update={"reason": f"it is quarantined: {wanted.quarantine}"})
        fake_registry.registry.reject_champion(fake_registry.model, 2, 1, again)

    assert reason == "event: it did not get ready"
    for name in (fake_registry.model, f"{fake_registry.model}-transformers"):
        assert fake_registry.registry.tags(name, 2)["slipway.quarantined"] == reason
    last = fake_registry.registry.changes(fake_registry.model)[-1]
    assert last.audit.reason == f"version 2 must not serve: it is quarantined: {reason}"
    assert fake_registry.aliases()[0]["champion"] == 1


@pytest.fixture
def rolled_back(fake_registry: FakeRegistry) -> FakeRegistry:
    """Return a model whose version 3 serves although it was rolled back to version 2."""
    for key in ("one", "two", "three"):
        fake_registry.release(key)
    fake_registry.registry.roll_back(fake_registry.model, None, BOB)
    return fake_registry


def test_where_what_serves_is_quarantined_too_no_champion_is_left(
    rolled_back: FakeRegistry,
) -> None:
    """So the hourly look finds nothing to do; the record says why."""
    move = rolled_back.registry.reject_champion(rolled_back.model, 2, 3, EVENT)

    served, reference = rolled_back.aliases()
    assert move is not None
    assert (move.before, move.after) == (2, None)
    assert served == reference == {"candidate": 3, "previous": 3}
    assert rolled_back.tags(2)["slipway.quarantined"] == "event: it did not get ready"
    assert rolled_back.tags(3)["slipway.quarantined"] == "bob@harbour: it answers in verse"
    assert move.audit.reason == (
        "version 2 must not serve: it did not get ready; no champion is left, since version 3 is "
        "quarantined (bob@harbour: it answers in verse)"
    )
    assert champion_state(rolled_back.registry, rolled_back.model) is None


def test_a_model_without_a_champion_is_given_one_by_name(rolled_back: FakeRegistry) -> None:
    """A person names one of those that served; nothing else is quarantined for it."""
    rolled_back.registry.reject_champion(rolled_back.model, 2, 3, EVENT)

    with pytest.raises(MoveRefused, match="version 3 is quarantined"):
        rolled_back.registry.roll_back(rolled_back.model, None, BOB)
    move = rolled_back.registry.roll_back(rolled_back.model, 1, BOB)

    assert (move.before, move.after) == (None, 1)
    assert rolled_back.aliases()[0] == {"candidate": 3, "champion": 1, "previous": 3}
    assert "slipway.quarantined" not in rolled_back.tags(1)
    assert [each.version for each in rolled_back.registry.history(rolled_back.model)] == [
        *(1, 2, 3, 2),
        *(None, 1),
    ]


def test_where_the_version_that_serves_is_gone_no_champion_is_left(
    fake_registry: FakeRegistry,
) -> None:
    """Somebody deleted it in the MLflow UI."""
    fake_registry.release("one")
    fake_registry.release("two")
    for name in (fake_registry.model, f"{fake_registry.model}-transformers"):
        fake_registry.registry.client.delete_registered_model_alias(name, "previous")
        fake_registry.registry.client.delete_model_version(name, "1")

    move = fake_registry.registry.reject_champion(fake_registry.model, 2, 1, EVENT)

    assert move is not None
    assert "since there is no version 1" in move.audit.reason
    assert fake_registry.registry.champion(fake_registry.model) is None


def test_a_champion_that_came_meanwhile_stays(fake_registry: FakeRegistry) -> None:
    """What failed its trial is quarantined all the same."""
    for key in ("one", "two", "three"):
        fake_registry.release(key)

    assert fake_registry.registry.reject_champion(fake_registry.model, 2, 1, EVENT) is None

    assert fake_registry.aliases()[0] == {"candidate": 3, "champion": 3, "previous": 2}
    for name in (fake_registry.model, f"{fake_registry.model}-transformers"):
        assert "slipway.quarantined" in fake_registry.registry.tags(name, 2)
        assert "slipway.quarantined" not in fake_registry.registry.tags(name, 3)
