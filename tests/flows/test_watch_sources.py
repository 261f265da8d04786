"""The watch, against a real Hub on loopback, a real registry and a real Prefect server."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from slipway.errors import SourceMissing
from tests.support.hub import Security, error_status
from tests.support.hub_project import HubProject, opened


@pytest.fixture(scope="module")
def hub_project(
    tmp_path_factory: pytest.TempPathFactory, prefect_backend: None
) -> Iterator[HubProject]:
    """Give the tests of this module one place, in which each follows models of its own."""
    with opened(tmp_path_factory.mktemp("hub_project")) as place:
        yield place


def test_a_commit_of_weights_starts_exactly_one_release(hub_project: HubProject) -> None:
    """Looked at three times, it is one flow run, with the model's name and the reason on it."""
    name = hub_project.follow()

    first, second, third = (hub_project.see(name)[0] for _ in range(3))

    (run,) = hub_project.runs(name)
    assert (first.state, first.attempt) == ("new", 1)
    assert run.idempotency_key == f"release:{first.key}:1"
    assert first.reason in run.tags
    assert (second.state, third.state) == ("waiting", "waiting")


def test_new_weights_of_a_released_model_start_one_more_release(hub_project: HubProject) -> None:
    """What was released before stays released; the new commit has a key of its own."""
    name = hub_project.follow()
    (first,) = hub_project.see(name)
    assert first.key
    hub_project.record_release(name, first.key)

    commit = hub_project.push(name, **{"model[1]__safetensors": b"trained further" * 1000})
    (second,) = hub_project.see(name)

    assert (second.state, second.commit) == ("new", commit)
    assert second.key != first.key
    assert len(hub_project.runs(name)) == 2


def test_a_commit_of_the_card_alone_is_recorded_and_starts_nothing(hub_project: HubProject) -> None:
    """MLflow remembers the commit, so that the next look knows it."""
    name = hub_project.follow()
    (first,) = hub_project.see(name)
    assert first.key
    hub_project.record_release(name, first.key)

    commit = hub_project.push(name, README__md=b"---\nlicense: mit\n---\n# Another text\n")
    (second,), (third,) = hub_project.see(name), hub_project.see(name)

    assert (second.state, second.commit) == ("ignored", commit)
    assert "changes no file" in second.reason
    assert hub_project.remembered(name)["commits"] == [commit]
    assert third.state == "released"
    assert len(hub_project.runs(name)) == 1


@pytest.mark.slow
def test_a_hundred_dispatches_of_one_key_are_one_flow_run(hub_project: HubProject) -> None:
    """Eight at a time, as webhooks and schedules may come; Prefect's own database decides."""
    from tasks.dispatch import dispatch

    name = hub_project.follow()
    key = "ab" * 31 + name[-2:].encode().hex()[:2]

    with ThreadPoolExecutor(8) as pool:
        # Prefect's settings live in the context, which a thread does not inherit.
        calls = [
            pool.submit(copy_context().run, dispatch, name, key, 1, "a test") for _ in range(100)
        ]
        ids = {call.result() for call in calls}

    assert [str(run.id) for run in hub_project.runs(name)] == [*ids]


def test_a_crashed_release_is_tried_again_at_the_next_look_but_not_for_ever(
    hub_project: HubProject,
) -> None:
    """Three attempts, each under a number of its own; then a person has to look."""
    name = hub_project.follow()
    states = []
    for how in ("CRASHED", "FAILED", "CRASHED"):
        states.append(hub_project.see(name)[0].attempt)
        hub_project.end(hub_project.runs(name)[-1], how)

    (last,) = hub_project.see(name)

    assert states == [1, 2, 3]
    assert last.state == "refused"
    assert "3 releases of it failed" in last.reason
    assert len(hub_project.runs(name)) == 3


@pytest.mark.parametrize(
    ("decided", "state", "reason"),
    [
        pytest.param({"ended": "COMPLETED"}, "refused", "by hand", id="a gate kept it"),
        pytest.param({"ended": "CANCELLED"}, "refused", "by hand", id="a person cancelled it"),
        # whoever started that release: the registry knows why
        pytest.param({"refused": "it loops"}, "refused", "it loops", id="a gate refused it"),
        pytest.param(
            {"quarantined": "it leaked"}, "quarantined", "quarantined: it leaked", id="rolled back"
        ),
    ],
)
def test_what_was_decided_is_not_started_again(
    hub_project: HubProject, decided: dict[str, str], state: str, reason: str
) -> None:
    """The same release would only be decided the same; new files, or a person, change that."""
    name = hub_project.follow()
    (first,) = hub_project.see(name)
    assert first.key
    if how := decided.get("ended"):
        hub_project.end(hub_project.runs(name)[0], how)
    elif why := decided.get("refused"):
        hub_project.record_refusal(name, first.key, why)
    else:
        tags = {"slipway.quarantined": decided["quarantined"]}
        hub_project.record_release(name, first.key, **tags)

    (second,) = hub_project.see(name)

    assert second.state == state
    assert reason in second.reason
    assert len(hub_project.runs(name)) == 1


def test_a_pending_scan_waits_for_the_next_look(hub_project: HubProject) -> None:
    """Once the Hub has looked at the files, the release starts."""
    name = hub_project.follow(security=Security(scans_done=False))

    (waiting,) = hub_project.see(name)
    hub_project.hub.configure(f"acme/{name}", security=Security(scans_done=True))
    (cleared,) = hub_project.see(name)

    assert (waiting.state, cleared.state) == ("waiting", "new")
    assert len(hub_project.runs(name)) == 1


def test_one_source_that_is_gone_does_not_end_the_watch(hub_project: HubProject) -> None:
    """Its row says why; the others are released, and the table shows all of them."""
    gone, there = hub_project.follow(), hub_project.follow()
    hub_project.hub.delete(f"acme/{gone}")

    first, second = hub_project.see(gone, there)

    assert (first.state, second.state) == ("unreachable", "new")
    assert f"repository acme/{gone} was not found" in first.reason
    assert [row["model"] for row in _table()][-2:] == [gone, there]


def test_a_deleted_experiment_is_the_row_of_its_model(hub_project: HubProject) -> None:
    """Nothing can be logged there, so nothing is started; the others are released."""
    from tasks.context import registry

    deleted, there = hub_project.follow(), hub_project.follow()
    client = registry().client
    client.delete_experiment(client.create_experiment(deleted))

    first, second = hub_project.see(deleted, there)

    assert (first.state, second.state) == ("refused", "new")
    assert f"experiment '{deleted}' is deleted; restore it" in first.reason
    assert hub_project.runs(deleted) == []


def test_the_whole_catalogue_is_watched_unless_models_are_named(hub_project: HubProject) -> None:
    """A schedule names none, a webhook one; a busy Hub makes rows and no failure."""
    names = [hub_project.follow(), hub_project.follow()]
    hub_project.running.faults.add(error_status(429, retry_after_seconds=600), count=None)

    found = hub_project.see()
    hub_project.running.faults.clear()

    assert {one.state for one in found} == {"unreachable"}
    assert set(names) < {one.model for one in found}
    assert hub_project.runs(names[0]) == []


def test_a_deployment_that_is_not_there_is_named(
    hub_project: HubProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says what to do."""
    from tasks import dispatch, pools

    monkeypatch.setattr(pools, "DEPLOYMENT", "release-model/nowhere")

    with pytest.raises(SourceMissing) as raised:
        dispatch.dispatch.fn(hub_project.follow(), "ab" * 32, 1, "a test")

    assert str(raised.value).startswith("deployment release-model/nowhere was not found: apply")


def _table() -> list[dict[str, str]]:
    """Return the rows of the newest table."""
    from prefect.artifacts import Artifact

    found = Artifact.get("sources-seen")
    assert found is not None
    rows: list[dict[str, str]] = json.loads(str(found.data))
    return rows
