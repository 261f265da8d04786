"""A rollback: what served before serves again, and what failed does not come back by itself."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from slipway.errors import MoveRefused, RegistryConflict
from slipway.values import AuditInfo
from tests.support.fake_registry import ANN, FakeRegistry
from tests.support.kills import Killed

BOB = AuditInfo(actor="bob@harbour", reason="it answers in verse")


def failing_at(number: int, method: Callable[..., Any], error: BaseException) -> Any:
    """Return ``method`` that fails when it is called for this time."""
    calls = iter(range(1, 100))

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == number:
            raise error
        return method(*args, **kwargs)

    return call


def test_champion_and_previous_change_places_in_both_models(fake_registry: FakeRegistry) -> None:
    """The move says by whom, why, from where and to where."""
    fake_registry.release("one")
    fake_registry.release("two")

    move = fake_registry.registry.roll_back(fake_registry.model, None, BOB)

    served, reference = fake_registry.aliases()
    assert served == {"candidate": 2, "champion": 1, "previous": 2}
    assert reference == served
    assert (move.kind, move.before, move.after, move.audit) == ("rollback", 2, 1, BOB)


def test_the_failed_version_is_quarantined_in_both_models(fake_registry: FakeRegistry) -> None:
    """With the reason, for whoever meets it in the MLflow UI."""
    fake_registry.release("one")
    fake_registry.release("two")

    fake_registry.registry.roll_back(fake_registry.model, None, BOB)

    for name in (fake_registry.model, f"{fake_registry.model}-transformers"):
        reason = fake_registry.registry.tags(name, 2)["slipway.quarantined"]
        assert reason == "bob@harbour: it answers in verse"
        assert "slipway.quarantined" not in fake_registry.registry.tags(name, 1)


def test_a_version_may_be_named(fake_registry: FakeRegistry) -> None:
    """It need not be the previous one."""
    for key in ("one", "two", "three"):
        fake_registry.release(key)

    fake_registry.registry.roll_back(fake_registry.model, 1, BOB)

    assert fake_registry.aliases()[0] == {"candidate": 3, "champion": 1, "previous": 3}


def test_versions_of_both_models_are_paired_by_their_release(fake_registry: FakeRegistry) -> None:
    """Their numbers may differ: an interrupted registration leaves a gap in one of them."""
    name = f"{fake_registry.model}-transformers"
    fake_registry.release("one")
    source = fake_registry.registry.client.get_model_version(name, "1").source
    fake_registry.registry.client.create_model_version(name, source)
    fake_registry.release("two")

    fake_registry.registry.roll_back(fake_registry.model, None, BOB)

    assert fake_registry.aliases()[1] == {"candidate": 3, "champion": 1, "previous": 3}
    assert "slipway.quarantined" in fake_registry.registry.tags(name, 3)


@pytest.mark.parametrize("path", ["artifacts/model/model.onnx", "onnx_genai.py", "MLmodel"])
def test_a_flipped_bit_in_the_target_is_refused(fake_registry: FakeRegistry, path: str) -> None:
    """No alias moves, and nothing is quarantined."""
    first = fake_registry.release("one")
    fake_registry.release("two")
    before = fake_registry.aliases()
    fake_registry.damage(first, path)

    with pytest.raises(MoveRefused, match="version 1 is not what was released"):
        fake_registry.registry.roll_back(fake_registry.model, None, BOB)

    assert fake_registry.aliases() == before
    assert "slipway.quarantined" not in fake_registry.tags(2)


def test_what_is_compared_is_what_the_version_serves(fake_registry: FakeRegistry) -> None:
    """Its record names another copy of the same files, which nobody has touched."""
    first = fake_registry.release("one")
    fake_registry.release("two")
    copy = fake_registry.log(fake_registry.request("one")).model_ids["onnx"]
    record = first.model_dump(mode="json")
    record["versions"]["onnx"]["model_id"] = copy
    client = fake_registry.registry.client
    client.set_model_version_tag(fake_registry.model, "1", "slipway.release", json.dumps(record))
    fake_registry.damage(first)

    with pytest.raises(MoveRefused, match="version 1 is not what was released"):
        fake_registry.registry.roll_back(fake_registry.model, None, BOB)


def test_a_target_whose_files_are_gone_is_refused(fake_registry: FakeRegistry) -> None:
    """What cannot be compared is not what was released."""
    first = fake_registry.release("one")
    fake_registry.release("two")
    shutil.rmtree(fake_registry.file(first.versions.onnx, ""))

    with pytest.raises(MoveRefused, match="version 1 is not what was released"):
        fake_registry.registry.roll_back(fake_registry.model, None, BOB)


def test_nothing_to_roll_back_is_told_in_a_line(fake_registry: FakeRegistry) -> None:
    """First there is no champion, then none before it."""
    with pytest.raises(MoveRefused, match=r"neither a champion .* nor a previous .*; release it"):
        fake_registry.registry.roll_back(fake_registry.model, None, BOB)

    fake_registry.release("one")
    with pytest.raises(MoveRefused, match=r"there is no previous version .* --to"):
        fake_registry.registry.roll_back(fake_registry.model, None, BOB)


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        pytest.param(2, "version 2 is the champion already", id="the champion"),
        pytest.param(7, "there is no version 7", id="no such version"),
        pytest.param(3, "version 3 is not released", id="only registered"),
        pytest.param(4, "version 4 waits for approval", id="not approved yet"),
    ],
)
def test_a_version_that_may_not_serve_is_refused(
    fake_registry: FakeRegistry, to: int, reason: str
) -> None:
    """Whatever it is that keeps it from serving; no alias moves."""
    fake_registry.release("one")
    fake_registry.release("two")
    fake_registry.register("three")
    fake_registry.release("four", "approval")
    before = fake_registry.aliases()

    with pytest.raises(MoveRefused, match=reason):
        fake_registry.registry.roll_back(fake_registry.model, to, BOB)

    assert fake_registry.aliases() == before


def test_a_second_rollback_does_not_return_to_what_failed(fake_registry: FakeRegistry) -> None:
    """The previous version is quarantined now, and the line says so."""
    fake_registry.release("one")
    fake_registry.release("two")
    fake_registry.registry.roll_back(fake_registry.model, None, BOB)

    with pytest.raises(MoveRefused, match=r"version 2 is quarantined \(bob@harbour: .*lift it"):
        fake_registry.registry.roll_back(fake_registry.model, None, ANN)


@pytest.mark.parametrize("call", range(1, 8))
def test_a_fault_between_two_calls_leaves_all_as_it_was(
    fake_registry: FakeRegistry, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four aliases and three marks are set; whichever fails, none of them stays."""
    fake_registry.release("one")
    fake_registry.release("two")
    before = fake_registry.aliases(), fake_registry.tags(1), fake_registry.tags(2)
    names = ("set_registered_model_alias", "set_model_version_tag")
    name = names[0] if call <= 4 else names[1]
    number = call if call <= 4 else call - 4
    broken = failing_at(number, getattr(fake_registry.registry.client, name), OSError("cut off"))
    monkeypatch.setattr(fake_registry.registry.client, name, broken)

    with pytest.raises(RegistryConflict, match="cut off"):
        fake_registry.registry.roll_back(fake_registry.model, None, BOB)

    assert (fake_registry.aliases(), fake_registry.tags(1), fake_registry.tags(2)) == before
    assert [move.kind for move in fake_registry.registry.changes(fake_registry.model)] == [
        "promotion"
    ] * 2


@pytest.mark.parametrize("call", range(1, 5))
def test_what_a_killed_process_left_half_done_is_undone_by_the_next(
    fake_registry: FakeRegistry, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entry in the record is still open, and says what was there before."""
    fake_registry.release("one")
    fake_registry.release("two")
    before = fake_registry.aliases(), fake_registry.tags(1), fake_registry.tags(2)
    client = fake_registry.registry.client
    with monkeypatch.context() as patch:
        broken = failing_at(call, client.set_registered_model_alias, Killed())
        patch.setattr(client, "set_registered_model_alias", broken)
        with pytest.raises(Killed):
            fake_registry.registry.roll_back(fake_registry.model, None, BOB)

    fake_registry.registry.recover(fake_registry.model)

    assert (fake_registry.aliases(), fake_registry.tags(1), fake_registry.tags(2)) == before


def test_a_release_after_a_killed_rollback_starts_from_what_was(
    fake_registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to clean up by hand before the next promotion."""
    fake_registry.release("one")
    fake_registry.release("two")
    client = fake_registry.registry.client
    with monkeypatch.context() as patch:
        broken = failing_at(2, client.set_registered_model_alias, Killed())
        patch.setattr(client, "set_registered_model_alias", broken)
        with pytest.raises(Killed):
            fake_registry.registry.roll_back(fake_registry.model, None, BOB)

    fake_registry.release("three")

    assert fake_registry.aliases()[0] == {"candidate": 3, "champion": 3, "previous": 2}
    assert fake_registry.aliases()[1] == fake_registry.aliases()[0]


def test_whoever_names_what_failed_takes_out_nothing_else(fake_registry: FakeRegistry) -> None:
    """Version 2 failed, and version 3 was promoted before the button was pressed."""
    for key in ("one", "two", "three"):
        fake_registry.release(key)
    before = fake_registry.aliases()

    with pytest.raises(MoveRefused, match="version 2 is not the champion, version 3 is; nothing"):
        fake_registry.registry.roll_back(fake_registry.model, None, BOB, failed=2)

    assert fake_registry.aliases() == before
    assert "slipway.quarantined" not in fake_registry.tags(3)


@pytest.mark.parametrize("to", [None, 2])
def test_two_who_mean_the_same_failure_go_back_once(
    fake_registry: FakeRegistry, to: int | None
) -> None:
    """The second is told what the first one led to; one who asks for another version is refused."""
    for key in ("one", "two", "three"):
        fake_registry.release(key)

    first = fake_registry.registry.roll_back(fake_registry.model, None, BOB, failed=3)
    second = fake_registry.registry.roll_back(fake_registry.model, to, ANN, failed=3)
    with pytest.raises(MoveRefused, match="version 3 is not the champion, version 2 is"):
        fake_registry.registry.roll_back(fake_registry.model, 1, ANN, failed=3)

    assert second == first
    assert fake_registry.aliases()[0] == {"candidate": 3, "champion": 2, "previous": 3}
    assert len(fake_registry.registry.changes(fake_registry.model)) == 4


def test_who_was_champion_when_a_rollback_was_asked_for_is_known(
    fake_registry: FakeRegistry,
) -> None:
    """A run may wait in a queue while champions change."""
    before = datetime.now(UTC)
    fake_registry.release("one")
    between = datetime.now(UTC)
    fake_registry.release("two")
    after = datetime.now(UTC)

    found = [
        fake_registry.registry.champion_at(fake_registry.model, at)
        for at in (before, between, after)
    ]

    assert found == [None, 1, 2]
