"""Who sent a webhook and which models it concerns; payloads are those of the real senders."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.watch import webhooks
from slipway.watch.webhooks import Delivery, HubPayload
from tests.support import summaries
from tests.support.hub import LocalHub, Webhook
from tests.support.receiver import AFTER, HUB_SECRET, pushed, receive

SHARED = "a secret of ours"
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def delivery(**changes: str) -> Delivery:
    """Return the headers of a webhook that MLflow made at second 1,000,000."""
    fields = {"id": "d-1", "timestamp": "1000000", "signature": ""}
    return Delivery.model_validate(fields | changes)


def test_a_signature_is_the_one_that_mlflow_makes() -> None:
    """Of the installed MLflow."""
    from mlflow.webhooks.delivery import _generate_hmac_signature

    body = json.dumps({"data": {"name": "größer"}})

    theirs = _generate_hmac_signature(SHARED, "d-1", "1000000", body)

    assert webhooks.signature(SHARED, "d-1", "1000000", body.encode()) == theirs
    assert webhooks.is_signed(SHARED, delivery(signature=theirs), body.encode())


@given(body=st.binary(max_size=50), other=st.binary(max_size=50))
def test_a_signature_is_good_for_one_body(body: bytes, other: bytes) -> None:
    """And for one id, one timestamp and one secret."""
    right = delivery(signature=webhooks.signature(SHARED, "d-1", "1000000", body))

    assert webhooks.is_signed(SHARED, right, body)
    assert webhooks.is_signed(SHARED, right, other) == (body == other)
    assert not webhooks.is_signed(SHARED + "x", right, body)
    assert not webhooks.is_signed(SHARED, right.model_copy(update={"id": "d-2"}), body)
    assert not webhooks.is_signed(SHARED, right.model_copy(update={"timestamp": "9"}), body)


@pytest.mark.parametrize(
    ("now_seconds", "is_recent"),
    [(1_000_000, True), (1_000_300, True), (999_700, True), (1_000_301, False), (999_699, False)],
)
def test_a_delivery_is_good_for_five_minutes(now_seconds: float, *, is_recent: bool) -> None:
    """In both directions, since clocks differ in both."""
    assert webhooks.is_recent(delivery(), now_seconds) == is_recent


@given(given_secret=st.text())
def test_only_the_secret_is_the_secret(given_secret: str) -> None:
    """Any text can be compared, also halves of surrogate pairs."""
    assert webhooks.same_secret(SHARED, SHARED)
    assert webhooks.same_secret(SHARED, given_secret) == (given_secret == SHARED)


@given(document=ANY_JSON)
def test_plain_json_is_parsed(document: Any) -> None:
    """Whatever a JSON library writes, of moderate depth."""
    assert webhooks.parse(json.dumps(document).encode()) == document


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_is_limited(opening: bytes) -> None:
    """32 levels are more than any sender uses."""
    closing = {b"[": b"]", b'{"a":': b"}"}[opening]
    inner = {b"[": b"", b'{"a":': b"1"}[opening]

    def nested(levels: int) -> bytes:
        return opening * levels + inner + closing * levels

    assert webhooks.parse(nested(webhooks.DEEPEST - 1))
    with pytest.raises(ValueError, match="deep"):
        webhooks.parse(nested(webhooks.DEEPEST + 1))


def test_the_commit_of_the_branch_that_is_followed_is_passed_on() -> None:
    """Several refs may move in one push."""
    payload = pushed(after=AFTER)
    payload["updatedRefs"].insert(0, {"ref": "refs/pr/1", "oldSha": None, "newSha": "c" * 40})
    entry = summaries.entry(source={"kind": "hub", "repo": "acme/tiny"})

    (event,) = webhooks.source_changes(HubPayload.model_validate(payload), [entry])

    assert event.payload == {"model": entry.name, "repo": "acme/tiny", "commit": AFTER}


def test_a_source_that_is_not_on_the_hub_has_no_events() -> None:
    """A package names the repository that it was made from."""
    source = {"kind": "package", "package": "p", "file": "m.gguf", "repo": "acme/tiny"}

    events = webhooks.source_changes(
        HubPayload.model_validate(pushed()), [summaries.entry(source=source)]
    )

    assert events == ()


def test_a_push_to_the_local_hub_is_an_event_with_its_commit(tmp_path: Path) -> None:
    """Webhooks without the secret or without a listener change nothing."""
    hub = LocalHub(tmp_path / "hub")
    with receive(tmp_path) as receiver:
        addresses = [
            Webhook("http://127.0.0.1:9/hooks/hub"),
            Webhook(f"{receiver.url}/hooks/hub"),
            Webhook(f"{receiver.url}/hooks/hub", HUB_SECRET),
        ]
        hub.webhooks.extend(addresses)

        commit = hub.push("acme/tiny", {"config.json": b"{}"})

        assert [event.payload["commit"] for event in receiver.take_events()] == [commit]
