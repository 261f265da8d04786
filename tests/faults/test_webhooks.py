"""Anybody can reach the receiver: wrong requests are rejected and change nothing."""

import json
import logging
from typing import Any

import pytest

from deployments.receiver.requests import LONGEST_BYTES
from tests.support.receiver import (
    AFTER,
    HUB_SECRET,
    MLFLOW_SECRET,
    Receiver,
    hub_headers,
    mlflow_headers,
    moved,
    pushed,
)

GOOD = json.dumps(pushed(after=AFTER)).encode()
ALIAS = json.dumps(moved()).encode()
HUGE = json.dumps(pushed() | {"padding": "x" * LONGEST_BYTES}).encode()
DEEP = b'{"a":' * 40 + b"1" + b"}" * 40
ABYSS = b"[" * 100_000

#: Bodies that are no payload of either sender.
BODIES = {
    "empty": (b"", 400),
    "cut off": (GOOD[:-1], 400),
    "not JSON": (b"event=push", 400),
    "not UTF-8": (b'{"event": "\xff\xfe"}', 400),
    "UTF-16": (GOOD.decode().encode("utf-16"), 400),
    "NaN": (b'{"event": NaN}', 400),
    "infinity": (b'{"event": -Infinity}', 400),
    "a name twice": (GOOD[:-1] + b', "repo": {"type": "model", "name": "acme/other"}}', 400),
    "two documents": (GOOD + GOOD, 400),
    "40 levels": (DEEP, 400),
    "100,000 levels": (ABYSS, 400),
    "a number of 9,999 digits": (b"9" * 9999, 400),
    "an array": (b"[" + GOOD + b"]", 422),
    "null": (b"null", 422),
    "a number": (b"1", 422),
    "text": (b'"push"', 422),
    "an empty object": (b"{}", 422),
    "half of a pair": (b'{"event": {"action": "\\ud800", "scope": "repo"}}', 400),
    "half of a pair in a name": (b'{"\\udfff": 1}', 400),
    "half of a pair in bytes": (b'{"event": "\xed\xa0\xbd"}', 400),
    "huge": (HUGE, 413),
}


@pytest.fixture(autouse=True)
def no_earlier_events(receiver: Receiver) -> None:
    """Forget the events of earlier tests."""
    receiver.take_events()


def refusal(answer: Any) -> str:
    """Return the error of a small document that also has advice."""
    assert set(answer.json()) == {"error", "advice"}
    assert len(answer.content) < 300
    return str(answer.json()["error"])


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("sender", ["hub", "mlflow"])
def test_a_body_that_is_no_payload_is_rejected(receiver: Receiver, sender: str, name: str) -> None:
    """The sender has the secret, and still no event is sent."""
    body, status = BODIES[name]

    answer = receiver.hub(body) if sender == "hub" else receiver.mlflow(body)

    assert (answer.status_code, receiver.take_events()) == (status, [])
    assert refusal(answer)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"X-Webhook-Secret": ""}, 401, id="empty secret"),
        pytest.param({"X-Webhook-Secret": "x" * len(HUB_SECRET)}, 401, id="wrong secret"),
        pytest.param({"X-Webhook-Secret": HUB_SECRET[:-1]}, 401, id="too short"),
        pytest.param({"X-Webhook-Secret": HUB_SECRET + "x"}, 401, id="too long"),
        pytest.param({"X-Webhook-Secret": HUB_SECRET.upper()}, 401, id="other case"),
        pytest.param({"X-Webhook-Secret": "x" * 8000}, 401, id="far too long"),
        pytest.param({"X-Webhook-Secret": MLFLOW_SECRET}, 401, id="the other sender's"),
        pytest.param({"Content-Type": "text/plain"}, 415, id="text"),
        pytest.param({"Content-Type": "application/x-www-form-urlencoded"}, 415, id="a form"),
        pytest.param({"Content-Type": ""}, 415, id="no type"),
        pytest.param({"Content-Type": "application/json-seq"}, 415, id="nearly JSON"),
    ],
)
def test_a_request_of_the_hub_with_wrong_headers_is_rejected(
    receiver: Receiver, headers: dict[str, str], status: int
) -> None:
    """The body is right; it is not read."""
    answer = receiver.hub(GOOD, **headers)

    assert (answer.status_code, receiver.take_events()) == (status, [])
    assert refusal(answer)


def test_a_secret_in_the_address_or_in_another_header_does_not_count(receiver: Receiver) -> None:
    """It would be written into the logs of every proxy."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {HUB_SECRET}"}
    path = f"/hooks/hub?secret={HUB_SECRET}&x-webhook-secret={HUB_SECRET}"

    answer = receiver.client.post(path, content=GOOD, headers=headers)

    assert (answer.status_code, receiver.take_events()) == (401, [])


@pytest.mark.parametrize(
    ("signing", "headers", "error"),
    [
        pytest.param({}, {"X-MLflow-Signature": ""}, "wrong signature", id="no signature"),
        pytest.param({}, {"X-MLflow-Signature": "v1,AAAA"}, "wrong signature", id="another one"),
        pytest.param({}, {"X-MLflow-Signature": "x" * 999}, "not signed", id="far too long"),
        pytest.param({}, {"X-MLflow-Delivery-Id": "another"}, "wrong signature", id="another id"),
        pytest.param({}, {"X-MLflow-Delivery-Id": ""}, "not signed", id="no id"),
        pytest.param({}, {"X-MLflow-Delivery-Id": "a b"}, "not signed", id="an id with a space"),
        pytest.param({}, {"X-MLflow-Timestamp": ""}, "not signed", id="no timestamp"),
        pytest.param({}, {"X-MLflow-Timestamp": "soon"}, "not signed", id="a word"),
        pytest.param({}, {"X-MLflow-Timestamp": "-1"}, "not signed", id="a negative timestamp"),
        pytest.param({}, {"X-MLflow-Timestamp": "1e9"}, "not signed", id="a float"),
        pytest.param({}, {"X-MLflow-Timestamp": "9" * 12}, "not recent", id="in a far future"),
        pytest.param({}, {"X-MLflow-Timestamp": "9" * 5000}, "not signed", id="beyond any future"),
        pytest.param({"age_seconds": 400}, {}, "not recent", id="too long ago"),
        pytest.param({"age_seconds": -400}, {}, "not recent", id="in the future"),
        pytest.param({"secret": HUB_SECRET}, {}, "wrong signature", id="the other's secret"),
        pytest.param({"secret": ""}, {}, "wrong signature", id="by no secret"),
        pytest.param({"body": GOOD}, {}, "wrong signature", id="for another body"),
    ],
)
def test_a_request_of_mlflow_that_is_not_signed_is_rejected(
    receiver: Receiver, signing: dict[str, Any], headers: dict[str, str], error: str
) -> None:
    """The error names the fault, and not the right value."""
    answer = receiver.mlflow(ALIAS, **mlflow_headers(**{"body": ALIAS} | signing) | headers)

    assert (answer.status_code, receiver.take_events()) == (401, [])
    assert refusal(answer) == error


def test_a_replayed_delivery_is_rejected(receiver: Receiver) -> None:
    """Although its signature is right."""
    headers = mlflow_headers(ALIAS)

    first, second = (receiver.mlflow(ALIAS, **headers) for _ in range(2))

    assert (first.status_code, second.status_code) == (202, 409)
    assert len(receiver.take_events()) == 1


def test_a_rejected_delivery_does_not_use_up_its_id(receiver: Receiver) -> None:
    """Otherwise anybody could suppress a delivery by guessing its id."""
    headers = mlflow_headers(ALIAS)
    receiver.mlflow(ALIAS, **headers | {"X-MLflow-Signature": "v1,AAAA"})

    answer = receiver.mlflow(ALIAS, **headers)

    assert answer.status_code == 202


@pytest.mark.parametrize(
    "data", [{"name": "tiny-1.5"}, {"name": 1, "alias": "champion"}, {}, {"alias": ["champion"]}]
)
def test_an_alias_event_without_alias_or_model_is_rejected(
    receiver: Receiver, data: dict[str, object]
) -> None:
    """Although its signature is right."""
    answer = receiver.mlflow(moved() | {"data": data})

    assert (answer.status_code, receiver.take_events()) == (422, [])


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/hooks/hub", "/hooks/mlflow"])
def test_another_method_is_rejected(receiver: Receiver, method: str, path: str) -> None:
    """The response names the right one."""
    answer = receiver.client.request(method, path, headers=hub_headers())

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert refusal(answer)


@pytest.mark.parametrize("path", ["/", "/hooks", "/hooks/hub/", "/hooks/../hub", "/docs", "/%00"])
def test_another_path_is_not_found(receiver: Receiver, path: str) -> None:
    """Nothing is redirected: a redirected POST would send the secret once more."""
    answer = receiver.client.post(path, content=GOOD, headers=hub_headers())

    assert (answer.status_code, receiver.take_events()) == (404, [])
    assert refusal(answer)


def test_nothing_that_was_sent_is_logged(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a secret, right or wrong, nor a body, nor a signature."""
    caplog.set_level(logging.DEBUG)
    headers = mlflow_headers(ALIAS)

    receiver.hub(json.dumps(pushed("acme/confidential")).encode())
    receiver.hub(GOOD, **{"X-Webhook-Secret": "a wrong guess"})
    receiver.hub(b"a confidential body")
    receiver.mlflow(ALIAS, **headers)

    lines = [line for line in caplog.text.splitlines() if "receiver" in line]
    secrets = [
        HUB_SECRET,
        MLFLOW_SECRET,
        "a wrong guess",
        "confidential",
        headers["X-MLflow-Signature"],
    ]
    assert lines
    assert [each for each in secrets if any(each in line for line in lines)] == []
