"""The watch, against a real Hub on loopback, a real registry and a real Prefect server."""

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from harbour import Harbour

from slipway.errors import SourceMissing
from slipway.hub_server import Security, error_status

pytest_plugins = ["harbour"]


def test_a_commit_of_weights_starts_exactly_one_release(harbour: Harbour) -> None:
    """Looked at three times, it is one flow run, with the model's name and the reason on it."""
    name = harbour.follow()

    first, second, third = (harbour.see(name)[0] for _ in range(3))

    (run,) = harbour.runs(name)
    assert (first.state, first.attempt) == ("new", 1)
    assert run.idempotency_key == f"release:{first.key}:1"
    assert first.reason in run.tags
    assert (second.state, third.state) == ("waiting", "waiting")


def test_new_weights_of_a_released_model_start_one_more_release(harbour: Harbour) -> None:
    """What was released before stays released; the new commit has a key of its own."""
    name = harbour.follow()
    (first,) = harbour.see(name)
    assert first.key
    harbour.record_release(name, first.key)

    commit = harbour.push(name, model__safetensors=b"trained further" * 1000)
    (second,) = harbour.see(name)

    assert (second.state, second.commit) == ("new", commit)
    assert second.key != first.key
    assert len(harbour.runs(name)) == 2


def test_a_commit_of_the_card_alone_is_recorded_and_starts_nothing(harbour: Harbour) -> None:
    """MLflow remembers the commit, so that the next look knows it."""
    name = harbour.follow()
    (first,) = harbour.see(name)
    assert first.key
    harbour.record_release(name, first.key)

    commit = harbour.push(name, README__md=b"---\nlicense: mit\n---\n# Another text\n")
    (second,), (third,) = harbour.see(name), harbour.see(name)

    assert (second.state, second.commit) == ("ignored", commit)
    assert "changes no file" in second.reason
    assert harbour.remembered(name)["commits"] == [commit]
    assert third.state == "released"
    assert len(harbour.runs(name)) == 1


def test_a_hundred_dispatches_of_one_key_are_one_flow_run(harbour: Harbour) -> None:
    """Eight at a time, as webhooks and schedules may come; Prefect's own database decides."""
    from tasks.dispatch import dispatch

    name = harbour.follow()
    key = "ab" * 31 + name[-2:].encode().hex()[:2]

    with ThreadPoolExecutor(8) as pool:
        # Prefect's settings live in the context, which a thread does not inherit.
        calls = [
            pool.submit(copy_context().run, dispatch, name, key, 1, "a test") for _ in range(100)
        ]
        ids = {call.result() for call in calls}

    assert [str(run.id) for run in harbour.runs(name)] == [*ids]


def test_a_crashed_release_is_tried_again_at_the_next_look_but_not_for_ever(
    harbour: Harbour,
) -> None:
    """Three attempts, each under a number of its own; then a person has to look."""
    name = harbour.follow()
    states = []
    for how in ("CRASHED", "FAILED", "CRASHED"):
        states.append(harbour.see(name)[0].attempt)
        harbour.end(harbour.runs(name)[-1], how)

    (last,) = harbour.see(name)

    assert states == [1, 2, 3]
    assert last.state == "refused"
    assert "3 releases of it failed" in last.reason
    assert len(harbour.runs(name)) == 3


@pytest.mark.parametrize("how", ["COMPLETED", "CANCELLED"])
def test_a_release_that_ended_by_a_decision_is_not_started_again(
    harbour: Harbour, how: str
) -> None:
    """A gate that kept it, or a person who cancelled it, would only be asked the same again."""
    name = harbour.follow()
    harbour.see(name)
    harbour.end(harbour.runs(name)[0], how)

    (sighting,) = harbour.see(name)

    assert sighting.state == "refused"
    assert "by hand" in sighting.reason
    assert len(harbour.runs(name)) == 1


def test_a_pending_scan_waits_for_the_next_look(harbour: Harbour) -> None:
    """Once the Hub has looked at the files, the release starts."""
    name = harbour.follow(security=Security(scans_done=False))

    (waiting,) = harbour.see(name)
    harbour.hub.configure(f"acme/{name}", security=Security(scans_done=True))
    (cleared,) = harbour.see(name)

    assert (waiting.state, cleared.state) == ("waiting", "new")
    assert len(harbour.runs(name)) == 1


def test_one_source_that_is_gone_does_not_end_the_watch(harbour: Harbour) -> None:
    """Its row says why; the others are released, and the table shows all of them."""
    gone, there = harbour.follow(), harbour.follow()
    harbour.hub.delete(f"acme/{gone}")

    first, second = harbour.see(gone, there)

    assert (first.state, second.state) == ("unreachable", "new")
    assert f"repository acme/{gone} is not there" in first.reason
    assert [row["model"] for row in _table()][-2:] == [gone, there]


def test_the_whole_catalogue_is_watched_unless_models_are_named(harbour: Harbour) -> None:
    """A schedule names none, a webhook one; a busy Hub makes rows and no failure."""
    names = [harbour.follow(), harbour.follow()]
    harbour.running.faults.add(error_status(429, retry_after_seconds=600), count=None)

    found = harbour.see()
    harbour.running.faults.clear()

    assert {one.state for one in found} == {"unreachable"}
    assert set(names) < {one.model for one in found}
    assert harbour.runs(names[0]) == []


def test_a_deployment_that_is_not_there_is_named(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says what to do."""
    from tasks import dispatch

    monkeypatch.setattr(dispatch, "DEPLOYMENT", "release-model/nowhere")

    with pytest.raises(SourceMissing) as raised:
        dispatch.dispatch.fn("tiny", "ab" * 32, 1, "a test")

    assert str(raised.value).startswith("deployment release-model/nowhere is not there: apply")


def _table() -> list[dict[str, str]]:
    """Return the rows of the newest table."""
    import json

    from prefect.artifacts import Artifact

    found = Artifact.get("sources-seen")
    assert found is not None
    rows: list[dict[str, str]] = json.loads(str(found.data))
    return rows
