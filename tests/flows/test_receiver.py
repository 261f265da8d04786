"""What a webhook leads to: one event in Prefect that says "look again"."""

import asyncio
import logging
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deployments.receiver import hooks, outbox
from deployments.receiver.hooks import ReceiverSettings
from slipway.errors import CatalogueInvalid
from slipway.watch import webhooks
from tests.support.full_stack import serving
from tests.support.hub import LocalHub, Webhook
from tests.support.network import free_port
from tests.support.receiver import (
    AFTER,
    CATALOGUE,
    HUB_SECRET,
    MLFLOW_SECRET,
    Receiver,
    mlflow_headers,
    moved,
    pushed,
    receive,
)

GOOD_MS = 100


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """Run a receiver."""
    with receive(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("payload", "models", "commit"),
    [
        (pushed("acme/tiny", after=AFTER), ["tiny-1.5"], AFTER),
        (pushed("ACME/Tiny-ONNX", after=AFTER), ["tiny-1.5"], AFTER),
        (pushed("acme/other", "v2", AFTER), ["other"], AFTER),
        (pushed("acme/other", "refs/tags/v2", AFTER), ["other"], AFTER),
        (pushed("acme/other", "main"), [], None),
        (pushed("acme/tiny", "refs/pr/1"), [], None),
        (pushed("acme/unknown"), [], None),
        (pushed() | {"event": {"action": "create", "scope": "discussion"}}, [], None),
        (pushed() | {"repo": {"type": "dataset", "name": "acme/tiny"}}, [], None),
        (pushed() | {"updatedRefs": None}, ["tiny-1.5"], None),
        (pushed() | {"something": "new"}, ["tiny-1.5"], "any"),
    ],
)
def test_a_push_is_an_event_for_the_models_that_follow_it(
    receiver: Receiver, payload: dict[str, object], models: list[str], commit: str | None
) -> None:
    """By repository, in either role, and by branch or tag; other pushes are ignored with a 202."""
    answer = receiver.hub(payload)

    events = receiver.take_events()
    assert answer.status_code == 202
    assert answer.json() == {"status": "accepted" if models else "ignored", "models": models}
    assert [event.model for event in events] == models
    assert [event.event for event in events] == ["slipway.source.changed"] * len(models)
    assert all(commit in {"any", event.payload["commit"]} for event in events)


@pytest.mark.parametrize(
    ("payload", "version"),
    [
        (moved(version="3"), 3),
        (moved() | {"data": {"name": "tiny-1.5", "alias": "champion"}, "action": "deleted"}, None),
    ],
)
def test_a_champion_that_moved_is_an_event(
    receiver: Receiver, payload: dict[str, object], version: int | None
) -> None:
    """For the model that is served; a deleted alias counts as moved."""
    answer = receiver.mlflow(payload)

    (event,) = receiver.take_events()
    assert answer.json() == {"status": "accepted", "models": ["tiny-1.5"]}
    assert event.event == "slipway.champion.moved"
    assert event.payload == {"model": "tiny-1.5", "version": version}


@pytest.mark.parametrize(
    "payload",
    [
        moved(alias="candidate"),
        moved(name="tiny-1.5-transformers"),
        moved(name="unknown"),
        moved() | {"entity": "model_version", "data": {"name": "tiny-1.5", "version": "1"}},
    ],
)
def test_another_event_of_mlflow_is_ignored(receiver: Receiver, payload: dict[str, object]) -> None:
    """MLflow sends one webhook for all models, so this is no error."""
    answer = receiver.mlflow(payload)

    assert (answer.status_code, answer.json()["status"]) == (202, "ignored")
    assert receiver.take_events() == []


def test_the_same_push_a_hundred_times_is_one_event(receiver: Receiver) -> None:
    """A repeated request is no error; its response says that it is a duplicate."""
    payload = pushed(after=AFTER)

    answers = [receiver.hub(payload).json()["status"] for _ in range(100)]

    assert answers == ["accepted"] + ["duplicate"] * 99
    assert len(receiver.take_events()) == 1


@pytest.mark.alone
def test_an_answer_takes_less_than_a_tenth_of_a_second(
    receiver: Receiver, record_property: Callable[[str, object], None]
) -> None:
    """Median and 99th percentile of 100 requests of each sender, while Prefect does not answer."""
    receiver.prefect_is_down = True
    latencies_ms = []
    for _ in range(100):
        for call in (receiver.hub, receiver.mlflow):
            started = time.perf_counter()
            assert call().status_code == 202
            latencies_ms.append((time.perf_counter() - started) * 1000)

    median_ms, p99_ms = statistics.median(latencies_ms), sorted(latencies_ms)[-3]
    record_property("median_ms", median_ms)
    record_property("p99_ms", p99_ms)
    assert median_ms < p99_ms < GOOD_MS


def test_an_event_that_cannot_be_sent_is_logged_and_the_next_is_sent(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """The line says that the schedule repairs it."""
    caplog.set_level(logging.WARNING)
    receiver.prefect_is_down = True
    receiver.hub()
    until = time.monotonic() + 60
    while "lost" not in caplog.text and time.monotonic() < until:
        time.sleep(0.01)
    receiver.prefect_is_down = False

    receiver.hub()

    assert len(receiver.take_events()) == 1
    assert "slipway.source.changed tiny-1.5: lost" in caplog.text
    assert "the next scheduled run" in caplog.text


def test_a_full_outbox_asks_the_sender_to_try_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repeated request is not a duplicate."""
    payload = pushed(after=AFTER)
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "LIMIT", 0)
        refused = receiver.hub(payload)

    accepted = receiver.hub(payload)

    assert (refused.status_code, accepted.json()["status"]) == (429, "accepted")


@pytest.mark.parametrize("sender", ["hub", "mlflow"])
def test_a_route_without_a_secret_rejects_and_names_the_variable(
    tmp_path: Path, sender: str
) -> None:
    """With 403, which a sender does not retry."""
    with receive(tmp_path, hub_webhook_secret=None, mlflow_webhook_secret=None) as receiver:
        answer = receiver.hub() if sender == "hub" else receiver.mlflow()
        health = receiver.client.get("/health")
        head = receiver.client.head("/health")

    assert answer.status_code == 403
    assert f"SLIPWAY_{sender.upper()}_WEBHOOK_SECRET" in answer.json()["advice"]
    assert health.json() == {"status": "ok", "hub": False, "mlflow": False}
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == health.headers["content-length"]


@pytest.mark.parametrize("secret", ["", "too short"])
def test_a_secret_that_is_too_short_is_bad_input(secret: str) -> None:
    """The receiver does not start; the error names the variable and not the secret."""
    with pytest.raises(CatalogueInvalid) as raised:
        ReceiverSettings(hub_webhook_secret=secret)

    assert "SLIPWAY_HUB_WEBHOOK_SECRET" in str(raised.value)
    assert "too short" not in str(raised.value).replace("too_short", "")


def test_a_broken_catalogue_is_not_loaded(receiver: Receiver, tmp_path: Path) -> None:
    """A new model is followed at once; after a fault the earlier entries are used."""
    catalogue = tmp_path / "catalogue.toml"
    added = CATALOGUE.replace("models.other", "models.added").replace("acme/other", "acme/added")
    catalogue.write_text(CATALOGUE + added.partition("\n\n")[2], encoding="utf-8")
    followed = receiver.hub(pushed("acme/added", "v2"))

    catalogue.write_text("not a catalogue", encoding="utf-8")
    still = receiver.hub(pushed("acme/added", "v2"))

    assert followed.json()["models"] == still.json()["models"] == ["added"]


def test_received_webhooks_are_forgotten_by_time_and_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push is no duplicate once it is too old, or once too many others came after it."""
    monkeypatch.setattr(webhooks, "TOLERANCE_SECONDS", 3)
    monkeypatch.setattr(hooks, "REMEMBERED", 2)
    first, second, third = (pushed() for _ in range(3))
    with receive(tmp_path) as receiver:
        statuses = [
            receiver.hub(payload).json()["status"]
            for payload in (first, first, second, third, third, first)
        ]
        time.sleep(3.5)
        late = receiver.hub(first).json()["status"]

    assert statuses == ["accepted", "duplicate", "accepted", "accepted", "duplicate", "accepted"]
    assert late == "accepted"


def test_a_push_to_the_hub_is_an_event_in_prefect(prefect_backend: None, tmp_path: Path) -> None:
    """From the Hub's webhook through the receiver's process to Prefect's event stream."""
    (tmp_path / "catalogue.toml").write_text(CATALOGUE, encoding="utf-8")
    hub = LocalHub(tmp_path / "hub")

    with started(tmp_path) as url:
        hub.webhooks.append(Webhook(f"{url}/hooks/hub", HUB_SECRET))
        seen = asyncio.run(first_event(lambda: hub.push("acme/tiny", {"config.json": b"{}"})))
        body = b'{"entity": "model_version_alias", "action": "created", "data": {}}'
        refused = httpx.post(
            f"{url}/hooks/mlflow", content=body, headers=mlflow_headers(body, secret=HUB_SECRET)
        )

    assert seen.event == "slipway.source.changed"
    assert seen.resource.id == "slipway.model.tiny-1.5"
    assert seen.resource["slipway.model"] == "tiny-1.5"
    assert seen.payload["model"] == "tiny-1.5"
    assert seen.payload["commit"] == hub.repository("acme/tiny").resolve("main").id
    assert refused.status_code == 401


async def first_event(act: object) -> object:
    """Return the first event of Slipway that Prefect streams after ``act`` was called."""
    from prefect.events.clients import get_events_subscriber
    from prefect.events.filters import EventFilter, EventNameFilter

    wanted = EventFilter(event=EventNameFilter(prefix=["slipway."]))
    async with asyncio.timeout(60), get_events_subscriber(filter=wanted) as stream:
        await asyncio.to_thread(act)  # type: ignore[arg-type]
        async for event in stream:
            return event
    raise AssertionError


@contextmanager
def started(folder: Path) -> Iterator[str]:
    """Run the receiver in a process of its own."""
    from prefect.settings import PREFECT_API_URL

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["-m", "deployments.receiver", "--port", str(port)]
    variables = os.environ | {
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "SLIPWAY_CATALOGUE": str(folder / "catalogue.toml"),
        "SLIPWAY_HUB_WEBHOOK_SECRET": HUB_SECRET,
        "SLIPWAY_MLFLOW_WEBHOOK_SECRET": MLFLOW_SECRET,
    }
    with serving("receiver", command, variables, folder / "receiver.log", f"{url}/health"):
        yield url
