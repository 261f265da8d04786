"""Sources are looked at through the real client, on a Hub that misbehaves as the real one may."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from slipway.sources import hub_client
from slipway.values import (
    Entry,
    HubSource,
    LastSeen,
    Quantization,
    QuantizeRecipe,
    SourceState,
    WatchResult,
)
from slipway.watch import poll
from slipway.watch.poll import RetryPolicy
from tests.support.acme_models import ARTIFACT, FAST, NEEDED, ONNX_REPO, REPO, selecting
from tests.support.hub import (
    LocalHub,
    RunningHub,
    Security,
    connection_reset,
    error_status,
    html_page,
    stall,
)


def entry(running: RunningHub, name: str = "tiny", **changes: Any) -> Entry:
    """Follow the model on that Hub."""
    fields = {
        "name": name,
        "title": "Tiny",
        "source": HubSource(repo=REPO, endpoint=running.endpoint),
        "recipe": QuantizeRecipe(candidates=(Quantization(precision="int8"),)),
        "licenses": ("mit",),
    }
    return Entry(**fields | changes)


def look(*entries: Entry, before: LastSeen | None = None) -> tuple[SourceState | WatchResult, ...]:
    """Look with short waits."""
    remembered = {each.name: before for each in entries} if before else {}
    return poll.poll(entries, remembered, lambda: RetryPolicy(0.02, longest_seconds=2))


def seen(one: Entry, before: LastSeen | None = None) -> SourceState:
    """Look at a source that answers."""
    (found,) = look(one, before=before)
    assert isinstance(found, SourceState), found
    return found


def missed(one: Entry, before: LastSeen | None = None) -> WatchResult:
    """Look at a source that does not."""
    (found,) = look(one, before=before)
    assert isinstance(found, WatchResult), found
    return found


def test_a_source_that_did_not_move_costs_one_small_question(running: RunningHub) -> None:
    """What it resolved to is remembered; the question has nothing but the commit's id in it."""
    first = seen(entry(running))
    asked = len(running.requests)

    second = seen(entry(running), before=first.now)

    assert second.now == first.now
    assert [one.query for one in running.requests[asked:]] == [{"expand": ["sha"]}]


def test_a_commit_of_the_card_alone_has_the_digest_of_the_one_before(
    acme: LocalHub, running: RunningHub
) -> None:
    """The commit is another, and what a release would be made of is the same."""
    first = seen(entry(running))
    acme.push(REPO, NEEDED | {"README.md": b"---\nlicense: mit\n---\n# Another text\n"})

    second = seen(entry(running), before=first.now)

    assert second.moved
    assert second.now.revision.digest == first.now.revision.digest


@pytest.mark.parametrize("repo", [REPO, ONNX_REPO])
def test_a_commit_of_weights_in_either_repository_is_seen(
    acme: LocalHub, running: RunningHub, repo: str
) -> None:
    """A recipe that selects follows two repositories."""
    one = entry(running, recipe=selecting(running, folder=FAST))
    first = seen(one)
    files = {REPO: NEEDED, ONNX_REPO: {f"{FAST}/{name}": data for name, data in ARTIFACT.items()}}
    weights = {REPO: "model[1].safetensors", ONNX_REPO: f"{FAST}/model.onnx.data"}[repo]

    acme.push(repo, files[repo] | {weights: b"trained further" * 1000})
    second = seen(one, before=first.now)

    assert second.moved
    assert second.now.revision.digest != first.now.revision.digest


def test_a_changed_entry_is_resolved_anew(running: RunningHub) -> None:
    """What is remembered was resolved for another question."""
    first = seen(entry(running))

    result = missed(entry(running, licenses=("apache-2.0",)), before=first.now)

    assert result.state == "refused"
    assert "the source's license is mit" in result.reason


def test_a_scan_that_is_not_done_is_waited_for(acme: LocalHub, running: RunningHub) -> None:
    """It is not asked again at once, since a scan takes minutes."""
    acme.configure(REPO, security=Security(scans_done=False, files_with_issues={}))

    result = missed(entry(running))

    assert result.state == "waiting"
    assert "scan is not done" in result.reason
    assert len(running.requests) == 2


def test_a_busy_hub_is_asked_again_when_it_says_so(running: RunningHub) -> None:
    """``Retry-After`` is honoured, also by questions about other models of the same Hub."""
    busy = running.faults.add(error_status(429, retry_after_seconds=1))
    started = time.monotonic()

    found = look(entry(running), entry(running, "other"))

    assert [type(one) for one in found] == [SourceState, SourceState]
    assert busy.met == 1
    assert time.monotonic() - started >= 1


def test_a_hub_that_wants_to_be_left_alone_is_left_alone(running: RunningHub) -> None:
    """After "in ten minutes" nobody asks again in this round; each gets a row."""
    running.faults.add(error_status(429, retry_after_seconds=600), count=None)
    names = [f"model-{number}" for number in range(12)]

    found = look(*(entry(running, name) for name in names))

    assert [one.model for one in found] == names
    assert {one.state for one in found if isinstance(one, WatchResult)} == {"unreachable"}
    assert 1 <= len(running.requests) <= poll.WORKERS
    assert "429" in found[0].reason if isinstance(found[0], WatchResult) else False


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(error_status(503), id="503"),
        pytest.param(connection_reset, id="connection reset"),
        pytest.param(stall(30), id="silence"),
        pytest.param(html_page, id="somebody's web page"),
    ],
)
def test_a_hub_that_fails_once_is_asked_again(
    running: RunningHub, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passing trouble is nobody's news."""
    monkeypatch.setattr(hub_client, "ANSWER_SECONDS", 0.3)
    running.faults.add(fault)

    found = seen(entry(running))

    assert len(found.now.commits) == 1


def test_a_hub_that_stays_silent_is_a_row_and_does_not_hold_up_the_others(
    acme: LocalHub, running: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client alone would wait for ever."""
    monkeypatch.setattr(hub_client, "ANSWER_SECONDS", 0.3)
    running.faults.add(stall(30), f"*{REPO}*", count=None)
    acme.push("acme/other", NEEDED)
    other = HubSource(repo="acme/other", endpoint=running.endpoint)
    started = time.monotonic()

    silent, answered = look(entry(running), entry(running, "other", source=other))

    assert isinstance(silent, WatchResult)
    assert silent.state == "unreachable"
    assert isinstance(answered, SourceState)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        pytest.param(lambda hub: hub.delete(REPO), "repository acme/tiny", id="repository gone"),
        pytest.param(
            lambda hub: hub.delete_branch(REPO, "main"), "'main' in acme/tiny", id="branch deleted"
        ),
        pytest.param(
            lambda hub: hub.configure(REPO, private=True), "repository acme/tiny", id="now private"
        ),
    ],
)
def test_a_source_that_went_away_is_a_row(
    acme: LocalHub, running: RunningHub, spoil: Callable[[LocalHub], None], why: str
) -> None:
    """The line names what is gone; nothing is asked twice."""
    first = seen(entry(running))
    asked = len(running.requests)
    spoil(acme)

    result = missed(entry(running), before=first.now)

    assert result.state == "unreachable"
    assert why in result.reason
    assert len(running.requests) == asked + 1


def test_a_forced_push_is_seen_as_the_commit_that_it_goes_back_to(
    acme: LocalHub, running: RunningHub
) -> None:
    """The old files have the old digest, and so the old release."""
    first = seen(entry(running))
    acme.push(REPO, NEEDED | {"model[1].safetensors": b"worse" * 1000})
    second = seen(entry(running), before=first.now)

    acme.reset(REPO, first.now.revision.commit)
    third = seen(entry(running), before=second.now)

    assert second.now.revision.digest != first.now.revision.digest
    assert third.now == first.now


def test_a_hub_that_is_not_there_is_a_row(running: RunningHub) -> None:
    """A refused connection is asked three times and then reported."""
    nowhere = HubSource(repo=REPO, endpoint="http://127.0.0.1:9")

    result = missed(entry(running, source=nowhere))

    assert result.state == "unreachable"
    assert "http://127.0.0.1:9" in result.reason


def test_few_questions_are_asked_at_the_same_time(running: RunningHub) -> None:
    """Twelve models of one Hub, each of which answers slowly, take three rounds of four."""
    running.faults.add(stall(0.15), "*", count=None)
    started = time.monotonic()

    found = look(*(entry(running, f"model-{number}") for number in range(12)))

    assert all(isinstance(one, SourceState) for one in found)
    assert time.monotonic() - started >= 3 * 2 * 0.15
