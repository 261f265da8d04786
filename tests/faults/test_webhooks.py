"""The receiver is open to anybody: what is wrong is refused, fast, and changes nothing."""

import contextlib
import json
import logging
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from receiving import (
    AFTER,
    HUB_SECRET,
    MLFLOW_SECRET,
    Receiver,
    hub_headers,
    mlflow_headers,
    moved,
    pushed,
    receive,
)
from schemathesis.generation.modes import GenerationMode

from deployments.receiver import intake
from deployments.receiver.intake import LONGEST_BYTES

GOOD = json.dumps(pushed(after=AFTER)).encode()
ALIAS = json.dumps(moved()).encode()
HUGE = json.dumps(pushed() | {"padding": "x" * LONGEST_BYTES}).encode()
DEEP = b'{"a":' * 40 + b"1" + b"}" * 40
ABYSS = b"[" * 100_000

#: Bodies that are no payload, from whomever they come.
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
    "half of a pair": (b'{"event": {"action": "\\ud800", "scope": "repo"}}', 422),
    "huge": (HUGE, 413),
}


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """Run one receiver for the tests of this module."""
    with receive(tmp_path_factory.mktemp("receiver")) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_heard(receiver: Receiver) -> None:
    """Forget what earlier tests sent on."""
    receiver.settled()


def refusal(answer: object) -> str:
    """Return what is wrong, of a small document that says what to do."""
    assert set(answer.json()) == {"error", "advice"}  # type: ignore[attr-defined]
    assert len(answer.content) < 300  # type: ignore[attr-defined]
    return str(answer.json()["error"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("sender", ["hub", "mlflow"])
def test_a_body_that_is_no_payload_is_refused(receiver: Receiver, sender: str, name: str) -> None:
    """Whoever sends it knows the secret, and still nothing comes of it."""
    body, status = BODIES[name]

    answer = receiver.hub(body) if sender == "hub" else receiver.mlflow(body)

    assert (answer.status_code, receiver.settled()) == (status, [])
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
def test_a_call_of_the_hub_with_wrong_headers_is_refused(
    receiver: Receiver, headers: dict[str, str], status: int
) -> None:
    """The body is as it should be; nobody looks at it."""
    answer = receiver.hub(GOOD, **headers)

    assert (answer.status_code, receiver.settled()) == (status, [])
    assert refusal(answer)


def test_a_secret_in_the_address_or_in_another_header_does_not_count(receiver: Receiver) -> None:
    """It would end up in the logs of whatever stands in between."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {HUB_SECRET}"}
    path = f"/hooks/hub?secret={HUB_SECRET}&x-webhook-secret={HUB_SECRET}"

    answer = receiver.client.post(path, content=GOOD, headers=headers)

    assert (answer.status_code, receiver.settled()) == (401, [])


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        pytest.param({"X-MLflow-Signature": ""}, "wrong signature", id="no signature"),
        pytest.param({"X-MLflow-Signature": "v1,AAAA"}, "wrong signature", id="another signature"),
        pytest.param({"X-MLflow-Signature": "x" * 999}, "not signed", id="far too long"),
        pytest.param({"X-MLflow-Delivery-Id": "another"}, "wrong signature", id="another id"),
        pytest.param({"X-MLflow-Delivery-Id": ""}, "not signed", id="no id"),
        pytest.param({"X-MLflow-Delivery-Id": "a b"}, "not signed", id="an id with a space"),
        pytest.param({"X-MLflow-Timestamp": ""}, "not signed", id="no timestamp"),
        pytest.param({"X-MLflow-Timestamp": "soon"}, "not signed", id="a word"),
        pytest.param({"X-MLflow-Timestamp": "-1"}, "not signed", id="a negative timestamp"),
        pytest.param({"X-MLflow-Timestamp": "1e9"}, "not signed", id="a float"),
        pytest.param({"X-MLflow-Timestamp": "9" * 12}, "not recent", id="in a far future"),
        pytest.param({"X-MLflow-Timestamp": "9" * 5000}, "not signed", id="beyond any future"),
        *(
            pytest.param(mlflow_headers(ALIAS, **how), error, id=name)  # type: ignore[arg-type]
            for how, error, name in [
                ({"age_seconds": 400}, "not recent", "signed too long ago"),
                ({"age_seconds": -400}, "not recent", "signed in the future"),
                ({"secret": HUB_SECRET}, "wrong signature", "the other sender's secret"),
                ({"secret": ""}, "wrong signature", "no secret"),
            ]
        ),
        pytest.param(mlflow_headers(GOOD), "wrong signature", id="another body's signature"),
    ],
)
def test_a_call_of_mlflow_that_is_not_signed_is_refused(
    receiver: Receiver, headers: dict[str, str], error: str
) -> None:
    """One line for each way of being wrong, and none of them says what would be right."""
    answer = receiver.mlflow(ALIAS, **headers)

    assert (answer.status_code, receiver.settled()) == (401, [])
    assert refusal(answer) == error


def test_a_replayed_delivery_is_refused(receiver: Receiver) -> None:
    """A recording is good for nothing, though its signature is right."""
    headers = mlflow_headers(ALIAS)

    first, second = (receiver.mlflow(ALIAS, **headers) for _ in range(2))

    assert (first.status_code, second.status_code) == (202, 409)
    assert len(receiver.settled()) == 1


def test_a_refused_delivery_does_not_use_up_its_id(receiver: Receiver) -> None:
    """Else anybody could silence a delivery by guessing its id."""
    headers = mlflow_headers(ALIAS)
    receiver.mlflow(ALIAS, **headers | {"X-MLflow-Signature": "v1,AAAA"})

    answer = receiver.mlflow(ALIAS, **headers)

    assert answer.status_code == 202


@pytest.mark.parametrize(
    "data", [{"name": "tiny-1.5"}, {"name": 1, "alias": "champion"}, {}, {"alias": ["champion"]}]
)
def test_an_alias_event_that_does_not_say_which_is_refused(
    receiver: Receiver, data: dict[str, object]
) -> None:
    """Signed rightly, and of no use."""
    answer = receiver.mlflow(moved() | {"data": data})

    assert (answer.status_code, receiver.settled()) == (422, [])


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/hooks/hub", "/hooks/mlflow"])
def test_another_method_is_refused(receiver: Receiver, method: str, path: str) -> None:
    """With the one that is right."""
    answer = receiver.client.request(method, path, headers=hub_headers())

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert refusal(answer)


@pytest.mark.parametrize("path", ["/", "/hooks", "/hooks/hub/", "/hooks/../hub", "/docs", "/%00"])
def test_another_address_is_not_there(receiver: Receiver, path: str) -> None:
    """Nothing is redirected: a redirected POST would send the secret once more."""
    answer = receiver.client.post(path, content=GOOD, headers=hub_headers())

    assert (answer.status_code, receiver.settled()) == (404, [])
    assert refusal(answer)


@pytest.mark.parametrize("declared", ["Content-Length: 9999999", "Transfer-Encoding: chunked"])
def test_a_huge_body_is_not_read_to_its_end(receiver: Receiver, declared: str) -> None:
    """The answer comes while most of it is still to be sent."""
    head = "\r\n".join(f"{name}: {value}" for name, value in hub_headers().items())
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with connected(receiver) as connection:
        connection.sendall(f"POST /hooks/hub HTTP/1.1\r\nHost: x\r\n{head}\r\n{declared}".encode())
        connection.sendall(b"\r\n\r\n")
        sent = 0 if "Length" in declared else sum(len(chunk) for _ in send(connection, chunk, 5))

        answer = connection.recv(65536)

    assert b" 413 " in answer.partition(b"\r\n")[0]
    assert sent < 2 * LONGEST_BYTES
    assert receiver.settled() == []


def test_a_body_that_does_not_come_is_not_waited_for(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And meanwhile others are answered."""
    monkeypatch.setattr(intake, "READ_SECONDS", 0.5)
    head = "\r\n".join(f"{name}: {value}" for name, value in hub_headers().items())
    request = f"POST /hooks/hub HTTP/1.1\r\nHost: x\r\n{head}\r\nContent-Length: 100\r\n\r\n{{"
    with connected(receiver) as connection:
        connection.sendall(request.encode())

        other = receiver.hub()
        answer = connection.recv(65536)

    assert other.status_code == 202
    assert b" 408 " in answer.partition(b"\r\n")[0]


def test_a_caller_who_hangs_up_is_no_trouble(receiver: Receiver) -> None:
    """Half a body, and the connection is gone; the next call is answered."""
    head = "\r\n".join(f"{name}: {value}" for name, value in hub_headers().items())
    request = f"POST /hooks/hub HTTP/1.1\r\nHost: x\r\n{head}\r\nContent-Length: 100\r\n\r\n{{"

    with connected(receiver) as connection:
        connection.sendall(request.encode())

    assert receiver.hub().status_code == 202


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

    said = [line for line in caplog.text.splitlines() if "receiver" in line]
    told = [
        HUB_SECRET,
        MLFLOW_SECRET,
        "a wrong guess",
        "confidential",
        headers["X-MLflow-Signature"],
    ]
    assert said
    assert [each for each in told if any(each in line for line in said)] == []


def test_openapi_is_true_whatever_is_sent(receiver: Receiver) -> None:
    """Generated calls, right and wrong, with and without the secret: never a 5xx, never a hang."""
    schema = schemathesis.openapi.from_url(f"{receiver.url}/openapi.json")

    statuses = {
        status
        for operation in (found.ok() for found in schema.get_all_operations())
        for mode in GenerationMode
        for is_signed in (False, True)
        if operation.method == "post" or mode is GenerationMode.POSITIVE
        for status in explored(operation, mode, is_signed=is_signed)
    }

    assert {200, 202, 401, 422} <= statuses
    assert max(statuses) < 500


def explored(
    operation: schemathesis.APIOperation, mode: GenerationMode, *, is_signed: bool
) -> set[int]:
    """Return the statuses of generated calls, each of which kept to the OpenAPI document."""
    statuses: set[int] = set()

    @settings(
        max_examples=25,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
        derandomize=True,
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: schemathesis.Case) -> None:
        answer = case.call(headers=signed(case) if is_signed else None, timeout=5)
        case.validate_response(answer)
        statuses.add(answer.status_code)

    call()
    return statuses


def signed(case: schemathesis.Case) -> dict[str, str]:
    """Return headers of a sender who knows the secret, for what the case will send."""
    sent = case.as_transport_kwargs()
    content = json.dumps(sent["json"]).encode() if "json" in sent else sent.get("data", b"")
    return hub_headers() | mlflow_headers(content)


@contextlib.contextmanager
def connected(receiver: Receiver) -> Iterator[socket.socket]:
    """Connect without a client's good manners."""
    address = urlsplit(receiver.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        yield connection


def send(connection: socket.socket, chunk: bytes, times: int) -> Iterator[bytes]:
    """Send a chunk a few times, and yield it each time, until the other side has had enough."""
    for _ in range(times):
        with contextlib.suppress(OSError):
            connection.sendall(chunk)
        yield chunk
