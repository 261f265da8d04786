"""A rollback: what served before serves again, and what failed does not come back by itself."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from shelf import ANN, Shelf

from slipway.errors import MoveRefused, RegistryConflict
from slipway.values import Cause

BOB = Cause(actor="bob@harbour", reason="it answers in verse")


class Killed(BaseException):
    """The process ends here: nothing of ours runs after it."""


def failing_at(number: int, method: Callable[..., Any], error: BaseException) -> Any:
    """Return ``method`` that fails when it is called for this time."""
    calls = iter(range(1, 100))

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == number:
            raise error
        return method(*args, **kwargs)

    return call


def test_champion_and_previous_change_places_in_both_models(shelf: Shelf) -> None:
    """The move says by whom, why, from where and to where."""
    shelf.release("one")
    shelf.release("two")

    move = shelf.registry.roll_back(shelf.model, None, BOB)

    served, reference = shelf.aliases()
    assert served == {"candidate": 2, "champion": 1, "previous": 2}
    assert reference == served
    assert (move.kind, move.before, move.after, move.cause) == ("rollback", 2, 1, BOB)


def test_the_failed_version_is_quarantined_in_both_models(shelf: Shelf) -> None:
    """With the reason, for whoever meets it in the MLflow UI."""
    shelf.release("one")
    shelf.release("two")

    shelf.registry.roll_back(shelf.model, None, BOB)

    for name in (shelf.model, f"{shelf.model}-transformers"):
        reason = shelf.registry.tags(name, 2)["slipway.quarantined"]
        assert reason == "bob@harbour: it answers in verse"
        assert "slipway.quarantined" not in shelf.registry.tags(name, 1)


def test_a_version_may_be_named(shelf: Shelf) -> None:
    """It need not be the previous one."""
    for key in ("one", "two", "three"):
        shelf.release(key)

    shelf.registry.roll_back(shelf.model, 1, BOB)

    assert shelf.aliases()[0] == {"candidate": 3, "champion": 1, "previous": 3}


def test_versions_of_both_models_are_paired_by_their_release(shelf: Shelf) -> None:
    """Their numbers may differ: an interrupted registration leaves a gap in one of them."""
    name = f"{shelf.model}-transformers"
    shelf.release("one")
    source = shelf.registry.client.get_model_version(name, "1").source
    shelf.registry.client.create_model_version(name, source)
    shelf.release("two")

    shelf.registry.roll_back(shelf.model, None, BOB)

    assert shelf.aliases()[1] == {"candidate": 3, "champion": 1, "previous": 3}
    assert "slipway.quarantined" in shelf.registry.tags(name, 3)


def test_a_flipped_bit_in_the_target_is_refused(shelf: Shelf) -> None:
    """No alias moves, and nothing is quarantined."""
    first = shelf.release("one")
    shelf.release("two")
    before = shelf.aliases()
    shelf.damage(first)

    with pytest.raises(MoveRefused, match="files of version 1 are missing or changed"):
        shelf.registry.roll_back(shelf.model, None, BOB)

    assert shelf.aliases() == before
    assert "slipway.quarantined" not in shelf.tags(2)


def test_a_target_whose_files_are_gone_is_refused(shelf: Shelf) -> None:
    """What cannot be compared is not what was released."""
    first = shelf.release("one")
    shelf.release("two")
    shelf.registry.client.delete_logged_model(first.candidate.onnx.model_id)

    with pytest.raises(MoveRefused, match="files of version 1"):
        shelf.registry.roll_back(shelf.model, None, BOB)


def test_nothing_to_roll_back_is_told_in_a_line(shelf: Shelf) -> None:
    """First there is no champion, then none before it."""
    with pytest.raises(MoveRefused, match="there is no champion to roll back from; release it"):
        shelf.registry.roll_back(shelf.model, None, BOB)

    shelf.release("one")
    with pytest.raises(MoveRefused, match=r"there is no previous version .* --to"):
        shelf.registry.roll_back(shelf.model, None, BOB)


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        pytest.param(2, "version 2 is the champion already", id="the champion"),
        pytest.param(7, "there is no version 7", id="no such version"),
        pytest.param(3, "version 3 is not released", id="only registered"),
        pytest.param(4, "version 4 waits for approval", id="not approved yet"),
    ],
)
def test_a_version_that_may_not_serve_is_refused(shelf: Shelf, to: int, reason: str) -> None:
    """Whatever it is that keeps it from serving; no alias moves."""
    shelf.release("one")
    shelf.release("two")
    shelf.register("three")
    shelf.release("four", "approval")
    before = shelf.aliases()

    with pytest.raises(MoveRefused, match=reason):
        shelf.registry.roll_back(shelf.model, to, BOB)

    assert shelf.aliases() == before


def test_a_second_rollback_does_not_return_to_what_failed(shelf: Shelf) -> None:
    """The previous version is quarantined now, and the line says so."""
    shelf.release("one")
    shelf.release("two")
    shelf.registry.roll_back(shelf.model, None, BOB)

    with pytest.raises(MoveRefused, match=r"version 2 is quarantined \(bob@harbour: .*lift it"):
        shelf.registry.roll_back(shelf.model, None, ANN)


@pytest.mark.parametrize("call", range(1, 8))
def test_a_fault_between_two_calls_leaves_all_as_it_was(
    shelf: Shelf, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four aliases and three marks are set; whichever fails, none of them stays."""
    shelf.release("one")
    shelf.release("two")
    before = shelf.aliases(), shelf.tags(1), shelf.tags(2)
    names = ("set_registered_model_alias", "set_model_version_tag")
    name = names[0] if call <= 4 else names[1]
    number = call if call <= 4 else call - 4
    broken = failing_at(number, getattr(shelf.registry.client, name), OSError("cut off"))
    monkeypatch.setattr(shelf.registry.client, name, broken)

    with pytest.raises(RegistryConflict, match="cut off"):
        shelf.registry.roll_back(shelf.model, None, BOB)

    assert (shelf.aliases(), shelf.tags(1), shelf.tags(2)) == before
    assert [move.kind for move in shelf.registry.moves(shelf.model)] == ["promotion"] * 2


@pytest.mark.parametrize("call", range(1, 5))
def test_what_a_killed_process_left_half_done_is_undone_by_the_next(
    shelf: Shelf, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entry in the record is still open, and says what was there before."""
    shelf.release("one")
    shelf.release("two")
    before = shelf.aliases(), shelf.tags(1), shelf.tags(2)
    client = shelf.registry.client
    with monkeypatch.context() as patch:
        broken = failing_at(call, client.set_registered_model_alias, Killed())
        patch.setattr(client, "set_registered_model_alias", broken)
        with pytest.raises(Killed):
            shelf.registry.roll_back(shelf.model, None, BOB)

    shelf.registry.settle(shelf.model)

    assert (shelf.aliases(), shelf.tags(1), shelf.tags(2)) == before


def test_a_release_after_a_killed_rollback_starts_from_what_was(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to clean up by hand before the next promotion."""
    shelf.release("one")
    shelf.release("two")
    client = shelf.registry.client
    with monkeypatch.context() as patch:
        broken = failing_at(2, client.set_registered_model_alias, Killed())
        patch.setattr(client, "set_registered_model_alias", broken)
        with pytest.raises(Killed):
            shelf.registry.roll_back(shelf.model, None, BOB)

    shelf.release("three")

    assert shelf.aliases()[0] == {"candidate": 3, "champion": 3, "previous": 2}
    assert shelf.aliases()[1] == shelf.aliases()[0]


def test_whoever_names_what_failed_takes_out_nothing_else(shelf: Shelf) -> None:
    """Version 2 failed, and version 3 was promoted before the button was pressed."""
    for key in ("one", "two", "three"):
        shelf.release(key)
    before = shelf.aliases()

    with pytest.raises(MoveRefused, match="version 2 is not the champion, version 3 is; nothing"):
        shelf.registry.roll_back(shelf.model, None, BOB, failed=2)

    assert shelf.aliases() == before
    assert "slipway.quarantined" not in shelf.tags(3)


@pytest.mark.parametrize("to", [None, 2])
def test_two_who_mean_the_same_failure_go_back_once(shelf: Shelf, to: int | None) -> None:
    """The second is told what the first one led to; one who asks for another version is refused."""
    for key in ("one", "two", "three"):
        shelf.release(key)

    first = shelf.registry.roll_back(shelf.model, None, BOB, failed=3)
    second = shelf.registry.roll_back(shelf.model, to, ANN, failed=3)
    with pytest.raises(MoveRefused, match="version 3 is not the champion, version 2 is"):
        shelf.registry.roll_back(shelf.model, 1, ANN, failed=3)

    assert second == first
    assert shelf.aliases()[0] == {"candidate": 3, "champion": 2, "previous": 3}
    assert len(shelf.registry.moves(shelf.model)) == 4


def test_who_was_champion_when_a_rollback_was_asked_for_is_known(shelf: Shelf) -> None:
    """A run may wait in a queue while champions change."""
    before = datetime.now(UTC)
    shelf.release("one")
    between = datetime.now(UTC)
    shelf.release("two")
    after = datetime.now(UTC)

    found = [shelf.registry.champion_at(shelf.model, at) for at in (before, between, after)]

    assert found == [None, 1, 2]
