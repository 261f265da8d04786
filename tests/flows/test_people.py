"""What people do, through flows and the command line, with a real Prefect server."""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.states import Crashed

from commands.main import run
from flows.approve_model import approve_model
from flows.roll_back import roll_back
from slipway import catalogue
from slipway.errors import MoveRefused
from slipway.values import ApprovalDecision
from tasks.approval import apply_answer, ask_again
from tasks.start_run import has_ended
from tests.support import project
from tests.support.fake_registry import ANN, FakeRegistry, fresh_name
from tests.support.project import Project

Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def shared_project(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, prefect_backend: None
) -> Iterator[Project]:
    """Give these tests one registry, in which each has a model of its own."""
    folder = tmp_path_factory.mktemp("people")
    with (
        pytest.MonkeyPatch.context() as patch,
        project.laid_out(folder, checkpoint, patch) as place,
    ):
        yield place


@pytest.fixture
def fake_registry(shared_project: Project) -> FakeRegistry:
    """Return a model of the catalogue, whose releases are made up."""
    name = fresh_name()
    entry = project.CATALOGUE.format(contract="prompt").replace("models.tiny", f"models.{name}")
    shared_project.edit("[models.tiny]", f"{entry}\n[models.tiny]")
    return FakeRegistry(shared_project.registry(), shared_project.folder / "files" / name, name)


@pytest.fixture
def waiting(fake_registry: FakeRegistry) -> FakeRegistry:
    """Return the model with version 1 serving and version 2 waiting for a person."""
    fake_registry.release("one")
    fake_registry.release("two", "approval")
    return fake_registry


@pytest.fixture
def form(waiting: FakeRegistry) -> Iterator[UUID]:
    """Open the form of version 2, as a worker does: the run is suspended, and no process waits."""
    identity = approve_model.to_deployment("approve-model").apply()
    parameters = {"model": waiting.model, "version": 2}
    with get_client(sync_client=True) as client:
        opened = client.create_flow_run_from_deployment(identity, parameters=parameters)
    assert executed(approve_model, opened.id).name == "Suspended"
    yield opened.id
    with get_client(sync_client=True) as client:
        client._client.delete(f"/deployments/{identity}")


def executed(flow: Any, run_id: UUID) -> Any:
    """Execute a deployment's run as a worker's process does, and return its state."""
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(run_id)
        with suppress(Pause):  # the process ends here, and the run does not
            run_flow(flow, flow_run, flow_run.parameters, return_type="state")
        return client.read_flow_run(run_id).state


def resumed(run_id: UUID, **answer: str) -> Any:
    """Fill in the form as its page does, and return what the server says."""
    with get_client(sync_client=True) as client:
        return client.resume_flow_run(run_id, run_input=answer)


def test_an_approval_in_the_form_promotes(waiting: FakeRegistry, form: UUID) -> None:
    """The form's run goes on when it is answered, and records who answered where."""
    refused = resumed(form, decision="perhaps", reason="who knows")
    accepted = resumed(form, decision="approve", reason="read and good")
    state = executed(approve_model, form)

    assert (refused.status.value, accepted.status.value) == ("REJECT", "ACCEPT")
    assert state.is_completed()
    assert waiting.aliases()[0] == {"candidate": 2, "champion": 2, "previous": 1}
    assert waiting.tags(2)["slipway.decided"] == "Prefect UI: read and good"


def test_a_rejection_in_the_form_keeps_the_champion(waiting: FakeRegistry, form: UUID) -> None:
    """And the candidate is quarantined, with the reason from the form."""
    resumed(form, decision="reject", reason="it is rude")
    executed(approve_model, form)

    assert waiting.aliases()[0] == {"champion": 1}
    assert waiting.tags(2)["slipway.quarantined"] == "rejected by Prefect UI: it is rude"


@pytest.fixture
def _served(waiting: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model be the one that `slipway up` serves."""
    monkeypatch.setenv("SLIPWAY_SERVE", waiting.model)


def test_a_form_whose_run_was_killed_is_opened_again(waiting: FakeRegistry, form: UUID) -> None:
    """Also if the next one is killed before it asks; one that is open is not doubled."""

    def open_forms() -> list[UUID]:
        with get_client(sync_client=True) as client:
            found = client.read_flow_runs()
        runs = [run for run in found if run.parameters == {"model": waiting.model, "version": 2}]
        return [run.id for run in runs if not has_ended(run)]

    ask_again(waiting.model)
    assert open_forms() == [form]
    seen = {form}
    for _ in range(2):
        (last,) = open_forms()
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(last, Crashed(), force=True)
        ask_again(waiting.model)
        ask_again(waiting.model)
        (now,) = open_forms()
        seen.add(now)
    assert len(seen) == 3


@pytest.mark.usefixtures("_served")
def test_the_form_shows_what_the_report_says(waiting: FakeRegistry, form: UUID) -> None:
    """The version's description, a link to its page, and how to chat with both versions."""
    with get_client(sync_client=True) as client:
        keyset = client.read_flow_run(form).state.state_details.run_input_keyset
        shown = client._client.get(f"/flow_runs/{form}/input/{keyset['description']}").text

    assert "Release two." in shown
    assert f"/#/models/{waiting.model}/versions/2" in shown
    assert f"`slipway beside {waiting.model} 2`" in shown


def test_the_command_approves_and_closes_the_form(
    waiting: FakeRegistry, form: UUID, capsys: Said
) -> None:
    """Both ways are open; the form's run then ends with what was decided."""
    assert run(["approve", waiting.model, "--reason", "read and good", "--json"]) == 0
    state = executed(approve_model, form)

    assert json.loads(capsys.readouterr().out)["waiting"] is False
    assert waiting.registry.champion(waiting.model) == 2
    assert state.is_completed()
    assert "@" in waiting.tags(2)["slipway.decided"]


def test_a_tag_in_mlflow_approves_and_closes_the_form(
    shared_project: Project, waiting: FakeRegistry, form: UUID
) -> None:
    """Carried out by whatever looks at the model next."""
    waiting.registry.client.set_model_version_tag(
        waiting.model, "2", "slipway.approval", "approved"
    )
    apply_answer(catalogue.find(shared_project.catalogue, waiting.model))

    assert waiting.registry.champion(waiting.model) == 2
    assert executed(approve_model, form).is_completed()


def test_too_late_is_rejected_and_closes_the_form(
    shared_project: Project, waiting: FakeRegistry, form: UUID
) -> None:
    """The entry says how long is too long."""
    entry = catalogue.find(shared_project.catalogue, waiting.model)
    apply_answer(entry.model_copy(update={"approval_timeout_hours": 1e-9}))

    assert waiting.aliases()[0] == {"champion": 1}
    assert waiting.tags(2)["slipway.decided"].startswith("timeout: nobody approved it within")
    assert executed(approve_model, form).is_completed()


def test_the_command_rejects(waiting: FakeRegistry, capsys: Said) -> None:
    """Exit code 0: what was asked for was done."""
    assert run(["approve", waiting.model, "--reject", "--reason", "it is rude"]) == 0

    assert f"{waiting.model}: rejected" in capsys.readouterr().out
    assert waiting.aliases()[0] == {"champion": 1}


@pytest.mark.parametrize(
    ("first", "arguments", "code", "word"),
    [
        ("approve", ["--reject"], 1, "approved"),
        ("reject", [], 3, "rejected"),
        ("reject", ["--reject"], 0, "rejected"),
    ],
)
def test_an_answer_that_comes_too_late_says_what_the_first_one_was(
    waiting: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Said,
    *,
    first: ApprovalDecision,
    arguments: list[str],
    code: int,
    word: str,
) -> None:
    """Somebody else answers once the flow has found that the version waits."""

    def answered_meanwhile(model: str) -> int:
        waiting.registry.decide(model, 2, first, ANN)
        return 2

    monkeypatch.setattr("flows.approve_model.waiting", answered_meanwhile)

    assert run(["approve", waiting.model, "--reason", "it is rude", *arguments]) == code
    printed = capsys.readouterr().out
    assert f"{waiting.model}: already {word}" in printed
    assert f"{ANN.actor}: {ANN.reason}" in printed
    assert "it is rude" not in printed
    assert ("slipway rollback" in printed) is (code == 1)


def test_nothing_waits_is_a_line(fake_registry: FakeRegistry, capsys: Said) -> None:
    """Bad input, and where to look."""
    fake_registry.release("one")

    assert run(["approve", fake_registry.model, "--reason", "fine"]) == 2

    assert f"{fake_registry.model}: no candidate waits for approval" in capsys.readouterr().err
    with pytest.raises(MoveRefused):
        approve_model(fake_registry.model)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["approve", "--reason", "fine"], "no candidate waits for approval"),
        (["rollback", "--reason", "it is rude"], "there is no previous version to roll back to"),
        (["release", "--lift-quarantine"], "lifting a quarantine needs a reason"),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_what_is_refused_starts_no_flow(
    fake_registry: FakeRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Said,
    arguments: list[str],
    said: str,
) -> None:
    """A flow without a server starts a temporary one, which takes most of a minute."""
    fake_registry.release("one")

    def start(*_: object, **__: object) -> None:
        pytest.fail("a flow was started")

    monkeypatch.setattr("prefect.flows.Flow.__call__", start)

    assert run([arguments[0], fake_registry.model, *arguments[1:]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_rollback_and_history_by_command(fake_registry: FakeRegistry, capsys: Said) -> None:
    """What was done is told, and how to undo it; then it stands in the history."""
    fake_registry.release("one")
    fake_registry.release("two")

    assert run(["rollback", fake_registry.model, "--reason", "it answers in verse"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{fake_registry.model}: rolling back version 2\n")
    assert f"{fake_registry.model}: rolled back from version 2 to 1" in said
    assert f"slipway release {fake_registry.model} --lift-quarantine" in said

    assert run(["history", fake_registry.model, "--json"]) == 0
    last = json.loads(capsys.readouterr().out)[-1]
    assert (last["version"], last["kind"], last["until"]) == (1, "rollback", None)
    assert last["audit"]["reason"] == "it answers in verse"

    assert run(["history", fake_registry.model]) == 0
    assert "it answers in" in capsys.readouterr().out
    assert run(["rollback", fake_registry.model, "--reason", "again"]) == 2
    assert "version 2 is quarantined" in capsys.readouterr().err


def test_a_rollback_by_command_may_name_what_failed(
    fake_registry: FakeRegistry, capsys: Said
) -> None:
    """Version 1 failed, but version 2 serves by now: nothing is moved, and a line says so."""
    fake_registry.release("one")
    fake_registry.release("two")

    assert run(["rollback", fake_registry.model, "--failed", "1", "--reason", "it is rude"]) == 2

    assert "version 1 is not the champion, version 2 is; nothing was" in capsys.readouterr().err
    assert fake_registry.registry.champion(fake_registry.model) == 2


def test_a_press_in_the_ui_means_the_champion_of_that_moment(fake_registry: FakeRegistry) -> None:
    """Two people press, and one version goes back; a press that was overtaken moves nothing."""
    for key in ("one", "two", "three"):
        fake_registry.release(key)
    identity = roll_back.to_deployment("roll-back").apply()
    asked = {"model": fake_registry.model, "reason": "it is rude"}
    with get_client(sync_client=True) as client:
        twice = [client.create_flow_run_from_deployment(identity, parameters=asked) for _ in "ab"]
        states = [executed(roll_back, each.id) for each in twice]
        assert [each.name for each in states] == ["Completed", "Completed"]
        assert fake_registry.aliases()[0] == {"candidate": 3, "champion": 2, "previous": 3}

        late = client.create_flow_run_from_deployment(identity, parameters=asked)
        fake_registry.release("four")
        state = executed(roll_back, late.id)
        client._client.delete(f"/deployments/{identity}")

    assert state.is_failed()
    assert "version 2 is not the champion, version 4 is" in state.message
    assert fake_registry.registry.champion(fake_registry.model) == 4
    assert "slipway.quarantined" not in fake_registry.tags(4)


def test_history_before_any_release_writes_nothing(project: Project, capsys: Said) -> None:
    """Not even the folder for its state."""
    shutil.rmtree(project.home)  # it holds an empty database

    assert run(["history", "tiny", "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == []
    assert not project.home.exists()


def test_events_that_were_not_sent_are_sent_later(
    fake_registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promotion's event is written with it, and struck out once Prefect's server has it."""
    from prefect import flow

    from tasks import emit_event

    fake_registry.release("one")
    sent: list[str] = []
    flow_of = flow(name="send")(lambda: emit_event.emit_pending_events(fake_registry.model))
    with monkeypatch.context() as patch:
        patch.setattr(emit_event, "emit_event", lambda *_, **__: False)
        flow_of()
    assert fake_registry.tags(1)["slipway.announce"] == "pending"

    send = emit_event.emit_event

    def witnessed(event: str, model: str, **payload: Any) -> bool:
        sent.append(f"{event} {model} v{payload['version']}")
        return send(event, model, **payload)

    monkeypatch.setattr(emit_event, "emit_event", witnessed)
    flow_of()
    flow_of()

    assert sent == [f"promoted {fake_registry.model} v1"]
    assert "slipway.announce" not in fake_registry.tags(1)
