"""What a killed process left open is closed: soon, on any machine, and only if it is ours."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slipway.errors import RegistryConflict
from slipway.registry import lookup
from slipway.tracking import heartbeat
from slipway.tracking.lease import create_run
from slipway.tracking.location import experiment_id
from slipway.tracking.tags import HEARTBEAT
from tests.support.fake_registry import ANN, FakeRegistry
from tests.support.kills import Killed, killed


@pytest.fixture
def fast_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a heartbeat of a few seconds ago be old."""
    monkeypatch.setattr(heartbeat, "RENEW_SECONDS", 1.0)
    monkeypatch.setattr(heartbeat, "DEAD_SECONDS", 2.5)


@contextmanager
def on_another_machine() -> Iterator[None]:
    """Hold other locks than this process does otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup, "lock_identity", lambda _: "another machine's")
        yield


def killed_while_approving(waiting: FakeRegistry) -> str:
    """Kill a process after it has moved the aliases; return the run of its record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting.registry, "_describe", killed)
        with pytest.raises(Killed):
            waiting.registry.decide(waiting.model, 2, "approve", ANN)
    return str(open_runs(waiting)[0].info.run_id)


def open_runs(fake_registry: FakeRegistry, experiment: str = "/promotions") -> list[Any]:
    """Return the runs that are not ended."""
    client = fake_registry.registry.client
    found = client.get_experiment_by_name(f"{fake_registry.model}{experiment}")
    return list(client.search_runs([found.experiment_id], "attributes.status = 'RUNNING'"))


@pytest.fixture
def waiting(fake_registry: FakeRegistry) -> FakeRegistry:
    """Return a model whose version 1 serves and whose version 2 waits."""
    fake_registry.release("one")
    fake_registry.release("two", "approval")
    return fake_registry


def test_a_mover_of_another_machine_blocks_until_it_shows_no_life(
    waiting: FakeRegistry, monkeypatch: pytest.MonkeyPatch, fast_heartbeat: None
) -> None:
    """A minute after its last heartbeat its change is rolled back; the run says why."""
    before = waiting.aliases(), waiting.tags(2)
    with on_another_machine():
        run_id = killed_while_approving(waiting)
    monkeypatch.setattr(heartbeat, "DEAD_SECONDS", 60)
    assert waiting.registry.recover(waiting.model) == ()
    moved = waiting.aliases()
    with pytest.raises(RegistryConflict), waiting.registry.consistent_read(waiting.model):
        pass
    with pytest.raises(RegistryConflict, match="another machine moves its aliases"):
        waiting.registry.roll_back(waiting.model, None, ANN)
    assert waiting.aliases() == moved

    monkeypatch.setattr(heartbeat, "DEAD_SECONDS", 0)
    (report,) = waiting.registry.recover(waiting.model)

    assert (waiting.aliases(), waiting.tags(2)) == before
    assert run_id in report
    run = waiting.registry.client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert "its process was killed" in run.data.tags["slipway.ended"]
    with waiting.registry.consistent_read(waiting.model):
        pass


def test_what_was_rolled_back_at_the_last_step_is_not_released(
    fake_registry: FakeRegistry,
) -> None:
    """The process is killed when all is written but the end of its record; it is promoted anew."""
    fake_registry.release("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake_registry.registry, "_require_open", killed)
        with pytest.raises(Killed):
            fake_registry.release("two")

    fake_registry.registry.recover(fake_registry.model)

    assert fake_registry.registry.released(fake_registry.model, "two") is None
    assert fake_registry.registry.champion(fake_registry.model) == 1
    again = fake_registry.release("two")
    assert not again.existed
    assert fake_registry.aliases() == ({"candidate": 2, "champion": 2, "previous": 1},) * 2


def test_a_mover_that_lives_is_left_alone_whatever_its_clock_says(
    waiting: FakeRegistry, monkeypatch: pytest.MonkeyPatch, fast_heartbeat: None
) -> None:
    """Its heartbeat changes while it is looked at, though it is an hour old."""
    late = (datetime.now(UTC) - timedelta(hours=1)).isoformat
    beats = iter(range(1000))
    with on_another_machine():
        run_id = killed_while_approving(waiting)
    moved = waiting.aliases()
    monkeypatch.setattr(heartbeat, "now", lambda: f"{late()[:-7]}{next(beats):01d}+00:00")
    waiting.registry.client.set_tag(run_id, HEARTBEAT, heartbeat.now())

    with heartbeat.beating(waiting.registry.client, run_id):
        assert waiting.registry.recover(waiting.model) == ()

    assert waiting.aliases() == moved
    assert len(waiting.registry.recover(waiting.model)) == 1


def test_a_rejection_whose_process_was_killed_leaves_what_was_there(
    waiting: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record too: that is what the gates decided. It waits on, and can be approved."""
    registry, before = waiting.registry, waiting.registry.released(waiting.model, "two")
    with monkeypatch.context() as patch:
        patch.setattr(registry.client, "set_terminated", killed)
        with pytest.raises(Killed):
            registry.decide(waiting.model, 2, "reject", ANN)

    registry.recover(waiting.model)

    assert registry.waiting(waiting.model) == 2
    assert registry.released(waiting.model, "two") == before
    assert registry.decide(waiting.model, 2, "approve", ANN).verdict.kind == "promoted"


@pytest.mark.parametrize(
    ("error", "refused", "then"),
    [(RuntimeError, RegistryConflict, "approved"), (Killed, Killed, "pending")],
)
def test_a_persons_answer_outlives_a_rejection_that_fails(
    waiting: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
    refused: type[BaseException],
    then: str,
) -> None:
    """After a kill it has to be given again: what a record says of it, nobody believes."""
    client, registry = waiting.registry.client, waiting.registry
    client.set_model_version_tag(waiting.model, "2", "slipway.approval", "approved")

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(registry, "_require_open", fail)
        with pytest.raises(refused):
            registry.decide(waiting.model, 2, "reject", ANN)
    registry.recover(waiting.model)

    assert waiting.tags(2)["slipway.approval"] == then
    assert registry.waiting(waiting.model) == 2


def test_an_answer_by_tag_is_carried_out_after_a_killed_answer(waiting: FakeRegistry) -> None:
    """The tag was set before; what is rolled back is the killed answer, not the tag."""
    client = waiting.registry.client
    client.set_model_version_tag(waiting.model, "2", "slipway.approval", "approved")
    killed_while_approving(waiting)

    (report,) = waiting.registry.recover(waiting.model)

    assert "rolled back" in report
    assert waiting.registry.waiting(waiting.model) == 2
    assert waiting.registry.apply_answer(waiting.model, timeout_hours=24)
    assert waiting.registry.champion(waiting.model) == 2


def test_a_mover_that_was_taken_for_dead_does_not_finish(
    waiting: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped for minutes, and another machine has rolled its change back."""
    before = waiting.aliases()
    describe = waiting.registry._describe

    def stopped(*arguments: Any) -> None:
        (run,) = open_runs(waiting)
        waiting.registry.client.set_terminated(run.info.run_id, "KILLED")
        describe(*arguments)

    monkeypatch.setattr(waiting.registry, "_describe", stopped)
    with pytest.raises(RegistryConflict, match="another process ended its record as KILLED"):
        waiting.registry.decide(waiting.model, 2, "approve", ANN)

    assert waiting.aliases() == before


def test_a_release_run_of_a_killed_process_is_ended_with_a_reason(
    waiting: FakeRegistry, fast_heartbeat: None
) -> None:
    """One that still shows life is not, and nor is what a person logs there."""
    client, registry = waiting.registry.client, waiting.registry
    experiment = experiment_id(client, waiting.model, registry.location)
    theirs = client.create_run(experiment).info.run_id
    tags = {"slipway.key": "three", "slipway.heartbeat": heartbeat.now()}
    living, dead = (client.create_run(experiment, tags=tags).info.run_id for _ in range(2))
    client.set_tag(dead, "slipway.heartbeat", "2026-01-01T00:00:00+00:00")

    with heartbeat.beating(client, living):
        (report,) = registry.recover(waiting.model)

    assert dead in report
    assert client.get_run(dead).info.status == "KILLED"
    assert "before both models were logged" in client.get_run(dead).data.tags["slipway.ended"]
    assert {client.get_run(each).info.status for each in (living, theirs)} == {"RUNNING"}


def test_a_second_kill_while_a_dead_release_is_ended_leaves_no_lease(
    waiting: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is given back before the run is ended, after which nobody looks at it."""
    client, registry = waiting.registry.client, waiting.registry
    experiment = experiment_id(client, waiting.model, registry.location)
    run_id = create_run(client, experiment, registry._lease(), "three", {"slipway.key": "three"})
    with monkeypatch.context() as patch:
        patch.setattr(client, "delete_tag", killed)
        with pytest.raises(Killed):
            registry.recover(waiting.model)

    registry.recover(waiting.model)

    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert "slipway.lease" not in run.data.tags


def test_a_version_that_was_deleted_after_a_kill_stops_no_recovery(waiting: FakeRegistry) -> None:
    """Somebody deletes the half promoted version in the MLflow UI; the champion is back."""
    killed_while_approving(waiting)
    waiting.registry.client.delete_model_version(waiting.model, "2")

    (report,) = waiting.registry.recover(waiting.model)

    assert "rolled back" in report
    assert waiting.aliases() == ({"champion": 1}, {"champion": 1, "candidate": 2})
    assert open_runs(waiting) == []


def test_a_recovery_does_not_lead_back_to_a_version_that_was_deleted(
    waiting: FakeRegistry,
) -> None:
    """Somebody deletes the champion of before in the MLflow UI."""
    killed_while_approving(waiting)
    waiting.registry.client.delete_model_version(waiting.model, "1")

    waiting.registry.recover(waiting.model)

    assert waiting.aliases()[0] == {"candidate": 2}
    assert open_runs(waiting) == []


def test_a_kill_while_an_unapproved_change_is_undone_leaves_no_half(
    fake_registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that was never released is champion by hand; nothing leads back to it."""
    client, registry = fake_registry.registry.client, fake_registry.registry
    fake_registry.register("one")
    fake_registry.move_by_hand(1)
    delete, deleted = client.delete_registered_model_alias, []

    def once(name: str, alias: str) -> None:
        if deleted:
            raise Killed
        deleted.append(name)
        delete(name, alias)

    with monkeypatch.context() as patch:
        patch.setattr(client, "delete_registered_model_alias", once)
        with pytest.raises(Killed):
            registry.undo_manual_change(fake_registry.model, needs_approval=True)

    registry.undo_manual_change(fake_registry.model, needs_approval=True)

    assert fake_registry.aliases() == ({}, {})
    assert open_runs(fake_registry) == []


def forged(waiting: FakeRegistry, **changes: Any) -> None:
    """Leave an open record like one of ours, with other fields in its transaction and undo."""
    name = waiting.model
    done = {
        "model": name,
        "kind": "promotion",
        "audit": {"actor": "mallory@elsewhere", "reason": "none"},
        "version": 1,
        "aliases": {name: {"champion": 1}},
        "tag_changes": {},
        "run_tags": {},
    }
    undo = done | {"aliases": {name: {"champion": None}}}
    client = waiting.registry.client
    experiment = client.get_experiment_by_name(f"{name}/promotions").experiment_id
    (run, *_) = client.search_runs([experiment])
    tags = run.data.tags | {
        "slipway.at": changes.get("at", run.data.tags["slipway.at"]),
        "slipway.transaction": json.dumps(done | changes.get("done", {})),
        "slipway.undo": json.dumps(undo | changes.get("undo", {})),
    }
    client.create_run(experiment, tags=tags)


def undoes(before: dict[str, str | None]) -> dict[str, Any]:
    """Return the fields of a record whose undo sets these tags of version 2."""

    def fields(found: dict[str, str | None]) -> dict[str, Any]:
        return {"aliases": {}, "tag_changes": {"MODEL": {"2": found}}}

    return {"done": fields(dict.fromkeys(before, "pending")), "undo": fields(before)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"undo": {"model": "other"}}, "it is about another model"),
        ({"undo": {"aliases": {"other": {"champion": 1}}}}, "its undo changes something else"),
        ({"undo": {"surprise": 1}}, "its tags are not those of a record"),
        ({"at": "2026-01-01T00:00:00"}, "its tags are not those of a record"),
        ({"undo": {"aliases": {"MODEL": {"champion": "one"}}}}, "its tags are not those"),
        ({"undo": {"aliases": {"MODEL": {"champion": 7}}}}, "version 7 champion, which was never"),
        (
            {which: {"aliases": {"MODEL": {"production": 1}}} for which in ("done", "undo")},
            "it changes production of",
        ),
        (
            {which: {"aliases": {"prod": {"champion": 1}}} for which in ("done", "undo")},
            "it changes champion of prod",
        ),
        (undoes({"slipway.release": "b"}), "it changes slipway.release of"),
        (undoes({"slipway.approval": "approved"}), "its undo approves version 2"),
        (undoes({"slipway.approval": " Approved"}), "its undo approves version 2"),
        (
            undoes({"slipway.approval": "approved", "slipway.decided": None}),
            "its undo approves version 2",
        ),
        (undoes({"slipway.status": "released"}), "its undo approves version 2"),
    ],
)
def test_an_open_record_of_another_shape_is_not_carried_out(
    waiting: FakeRegistry, changes: dict[str, Any], reason: str
) -> None:
    """Whoever may write to the experiment may leave one; it is ended and reported."""
    before = waiting.aliases(), waiting.tags(1), waiting.tags(2)
    forged(waiting, **json.loads(json.dumps(changes).replace("MODEL", waiting.model)))

    (report,) = waiting.registry.recover(waiting.model)

    assert reason in report
    assert "nothing of it was carried out" in report
    assert (waiting.aliases(), waiting.tags(1), waiting.tags(2)) == before
    assert open_runs(waiting) == []


def test_a_finished_record_of_another_shape_is_no_change(waiting: FakeRegistry) -> None:
    """It hides none of the others, and stops nobody from reading them."""
    forged(waiting, undo={"surprise": 1})
    (run,) = open_runs(waiting)
    waiting.registry.client.set_terminated(run.info.run_id, "FINISHED")

    assert [change.version for change in waiting.registry.changes(waiting.model)] == [1, 2]
