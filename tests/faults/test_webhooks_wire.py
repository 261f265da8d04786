"""The receiver over raw sockets: endless bodies, clients that hang up, generated requests."""

import contextlib
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation.modes import GenerationMode

from deployments.receiver import requests
from deployments.receiver.requests import LONGEST_BYTES
from slipway.system import connections
from tests.support.receiver import Receiver, hub_headers, mlflow_headers


@pytest.mark.parametrize("declared", ["Content-Length: 9999999", "Transfer-Encoding: chunked"])
def test_a_huge_body_is_not_read_to_its_end(receiver: Receiver, declared: str) -> None:
    """The response arrives while most of the body is still unsent."""
    head = "\r\n".join(f"{name}: {value}" for name, value in hub_headers().items())
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with connected(receiver) as connection:
        connection.sendall(
            f"POST /hooks/hub HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n{declared}".encode()
        )
        connection.sendall(b"\r\n\r\n")
        sent = 0 if "Length" in declared else sum(len(chunk) for _ in send(connection, chunk, 5))

        answer = connection.recv(65536)

    assert b" 413 " in answer.partition(b"\r\n")[0]
    assert sent < 2 * LONGEST_BYTES
    assert receiver.take_events() == []


def test_a_body_that_does_not_come_is_not_waited_for(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile other requests are answered."""
    monkeypatch.setattr(requests, "READ_SECONDS", 0.5)
    head = "\r\n".join(f"{name}: {value}" for name, value in hub_headers().items())
    request = (
        f"POST /hooks/hub HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\nContent-Length: 100\r\n\r\n{{"
    )
    with connected(receiver) as connection:
        connection.sendall(request.encode())

        other = receiver.hub()
        answer = connection.recv(65536)

    assert other.status_code == 202
    assert b" 408 " in answer.partition(b"\r\n")[0]


def test_a_client_that_hangs_up_changes_nothing(receiver: Receiver) -> None:
    """After half a body the connection is closed; the next request is answered."""
    head = "\r\n".join(f"{name}: {value}" for name, value in hub_headers().items())
    request = (
        f"POST /hooks/hub HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\nContent-Length: 100\r\n\r\n{{"
    )

    with connected(receiver) as connection:
        connection.sendall(request.encode())

    assert receiver.hub().status_code == 202


def test_silent_connections_stop_nobody(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new one takes the place of the one that waited longest."""
    monkeypatch.setattr(connections, "CONNECTIONS", 50)
    with contextlib.ExitStack() as silent:
        for _ in range(250):
            silent.enter_context(connected(receiver))

        assert [receiver.hub().status_code for _ in range(3)] == [202] * 3


def test_another_hosts_name_is_refused(receiver: Receiver) -> None:
    """A web page that points its own name at this machine reaches nothing."""
    receiver.take_events()

    refused = receiver.hub(Host="evil.example")

    assert (refused.status_code, receiver.take_events()) == (421, [])
    assert refused.json().keys() == {"error", "advice"}


def test_openapi_is_true_whatever_is_sent(receiver: Receiver) -> None:
    """Generated requests, right and wrong, with and without the secret: never a 5xx or a hang."""
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
    """Return the statuses of generated requests, each of which satisfied the OpenAPI document."""
    statuses: set[int] = set()

    @settings(
        max_examples=15,
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
    """Return the headers of a sender that has the secret, for the body of the case."""
    sent = case.as_transport_kwargs()
    content = json.dumps(sent["json"]).encode() if "json" in sent else sent.get("data", b"")
    return hub_headers() | mlflow_headers(content)


@contextlib.contextmanager
def connected(receiver: Receiver) -> Iterator[socket.socket]:
    """Open a raw connection."""
    address = urlsplit(receiver.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        yield connection


def send(connection: socket.socket, chunk: bytes, times: int) -> Iterator[bytes]:
    """Send a chunk a few times, and yield it each time, even after the server has closed."""
    for _ in range(times):
        with contextlib.suppress(OSError):
            connection.sendall(chunk)
        yield chunk
