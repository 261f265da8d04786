"""A model server that requires keys, as clients, its owner and our own checks meet it."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from commands.main import run
from slipway.redeploy import golden_prompts, model_server
from slipway.redeploy.golden_prompts import GoldenPrompts
from slipway.serving import api_keys
from slipway.values import Prompt, PromptMessage
from tests.support.model_servers import MADRID, MODEL, SPAIN, Registered, Server, serving

CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": SPAIN}]}


class Locked:
    """A server with keys, and the file of its keys."""

    def __init__(self, server: Server, file: Path) -> None:
        self.server = server
        self.file = file

    def new(self, name: str, models: tuple[str, ...] | None = None, rate: int | None = None) -> str:
        """Make a key."""
        return api_keys.new(self.file, name, models, rate)[0]

    def ask(self, key: str | bytes | None, **fields: Any) -> httpx.Response:
        """Send a chat request with ``Authorization: Bearer key``."""
        sent = key.encode() if isinstance(key, str) else key
        headers = {b"authorization": b"Bearer " + sent} if sent is not None else {}
        url = f"{self.server.url}/v1/chat/completions"
        return httpx.post(url, json=CHAT | fields, headers=headers, timeout=60)

    def client(self, key: str) -> OpenAI:
        """Return OpenAI's client with a key."""
        return OpenAI(base_url=f"{self.server.url}/v1", api_key=key, max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def locked(registered: Registered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    """Serve version 1 with keys; the file of keys does not exist yet."""
    folder = tmp_path_factory.mktemp("keys")
    file = folder / "keys.json"
    variables = {
        "SLIPWAY_SERVE_KEYS_FILE": str(file),
        "SLIPWAY_ALLOWED_ORIGINS": "http://a.example",
    }
    with serving(registered.home, folder, 1, **variables) as running:
        yield Locked(running, file)


def test_openais_client_meets_the_errors_that_it_knows(locked: Locked) -> None:
    """401, 403 and 429 are its own exceptions, with the fields of OpenAI's API."""
    ann, bob = locked.new("ann"), locked.new("bob", ("another",))
    slow = locked.new("slow", rate=1)

    assert locked.client(ann).chat.completions.create(**CHAT).choices[0].message.content == MADRID
    with pytest.raises(openai.AuthenticationError) as wrong:
        locked.client("sk-slipway-wrong").chat.completions.create(**CHAT)
    with pytest.raises(openai.PermissionDeniedError) as denied:
        locked.client(bob).chat.completions.create(**CHAT)
    locked.client(slow).chat.completions.create(**CHAT)
    with pytest.raises(openai.RateLimitError) as limited:
        locked.client(slow).chat.completions.create(**CHAT)

    found = [(each.value.code, each.value.type) for each in (wrong, denied, limited)]
    assert found == [
        ("invalid_api_key", "invalid_request_error"),
        ("model_not_found", "invalid_request_error"),
        ("rate_limit_exceeded", "requests"),
    ]
    headers = limited.value.response.headers
    assert 0 < int(headers["retry-after"]) <= 60
    assert headers["x-ratelimit-limit-requests"] == "1"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert "wrong" not in str(wrong.value)  # no key is repeated


def test_a_request_without_a_key_is_told_how_to_send_one(locked: Locked) -> None:
    """As OpenAI does: no code, and the scheme in a header."""
    answer = locked.ask(None)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] is None
    assert "Authorization" in answer.json()["error"]["message"]


def test_keys_are_rotated_while_the_server_runs(locked: Locked) -> None:
    """A new key is valid for the next request, and a revoked one is not."""
    old = locked.new("old")
    assert locked.ask(old).status_code == 200
    new = locked.new("new")
    api_keys.revoke(locked.file, "old")

    assert locked.ask(new).status_code == 200
    assert locked.ask(old).status_code == 401


def test_a_key_of_another_model_sees_none(locked: Locked) -> None:
    """It is not told what it may not use."""
    headers = {"Authorization": f"Bearer {locked.new('other', ('another',))}"}

    assert httpx.get(f"{locked.server.url}/v1/models", headers=headers).json()["data"] == []
    found = httpx.get(f"{locked.server.url}/v1/models/{MODEL}", headers=headers)
    assert found.status_code == 403


@pytest.mark.parametrize(
    "header",
    [
        b"Authorization: Bearer \xff\xfe\x80",
        b"Authorization: Bearer",
        b"Authorization:",
        b"Authorization: Basic c2xpcHdheTp4",
        b"Authorization: Bearer " + b"k" * 10_000,
        b"Authorization: Bearer one\r\nAuthorization: Bearer two",
        "Authorization: Bearer schlüssel".encode(),
    ],
)
def test_odd_keys_are_wrong_keys(locked: Locked, header: bytes) -> None:
    """Whatever the bytes are; and the server goes on."""
    host, _, port = locked.server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        connection.sendall(head + header + b"\r\n\r\n")
        answer = connection.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b'{"error": {"message": ' in answer


def test_some_paths_need_no_key(locked: Locked) -> None:
    """A load balancer has none, and a browser asks before it sends one; all others need one."""
    statuses = {
        path: httpx.get(f"{locked.server.url}{path}").status_code
        for path in ("/health", "//ready", "/metrics", "/v1/models", "//v1//models", "/nothing")
    }
    preflight = httpx.options(
        f"{locked.server.url}/v1/chat/completions",
        headers={"Origin": "http://a.example", "Access-Control-Request-Method": "POST"},
    )

    assert statuses == {
        "/health": 200,
        "//ready": 200,
        "/metrics": 200,
        "/v1/models": 401,
        "//v1//models": 401,
        "/nothing": 401,
    }
    assert preflight.status_code == 200


def test_a_page_of_an_allowed_origin_can_read_why_it_was_refused(locked: Locked) -> None:
    """Without the header, a browser would show a network error."""
    answer = httpx.get(f"{locked.server.url}/v1/models", headers={"Origin": "http://a.example"})

    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == "http://a.example"


def test_metrics_name_the_owner_and_never_the_key(locked: Locked) -> None:
    """Of requests without a valid key they say that alone."""
    key = locked.new("metered")
    locked.ask(key)
    locked.ask("sk-slipway-nobody")

    page = httpx.get(f"{locked.server.url}/metrics").text
    name = "slipway_serving_key_requests_total"
    locked.server.reaches(1, name, key="metered", status="200")
    assert locked.server.figure(name, key="unknown", status="401") >= 1
    assert key not in page
    assert "sk-slipway" not in page


def test_our_own_checks_reach_the_server(
    locked: Locked,
    registered: Registered,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Golden prompts of a redeploy, and `slipway predict`, have the home's own key."""
    message = PromptMessage(role="user", content=SPAIN)
    prompt = Prompt(id="spain", purpose="keys", messages=(message,), max_tokens=16)
    golden = GoldenPrompts(prompts=(prompt,), answer={}, max_median_latency_ms=60_000)
    address = model_server.find(locked.server.pointer.parent)
    assert address
    golden_prompts.check(address, MODEL, 1, golden, api_keys.own_key(registered.home))

    registered.promote(1)
    monkeypatch.setenv("SLIPWAY_HOME", str(registered.home))
    monkeypatch.setenv("SLIPWAY_CATALOGUE", str(registered.home.parent / "catalogue.toml"))
    place = registered.home / "serving" / MODEL / "server.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(locked.server.pointer.with_name("server.json").read_bytes())
    logs = sorted((registered.home / "logs").glob("predict-*"))
    try:
        assert run(["predict", MODEL, SPAIN]) == 0
    finally:
        place.unlink()

    assert capsys.readouterr().out == f"{MADRID}\n"
    assert sorted((registered.home / "logs").glob("predict-*")) == logs


@pytest.mark.parametrize("content", [None, b"{"])
def test_a_server_without_keys_listens_on_loopback_alone(
    locked: Locked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """Without a file of keys, or with one that nobody can read, it ends with one line."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    (tmp_path / "pointer.json").write_bytes(locked.server.pointer.read_bytes())
    if content is not None:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / "serve-keys.json").write_bytes(content)
    flags = ["--pointer", str(tmp_path / "pointer.json"), "--host", "0.0.0.0", "--port", "0"]  # noqa: S104
    command = [sys.executable, "-m", "slipway.serving", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 2
    expected = "slipway keys new NAME" if content is None else "serve-keys.json has 1 fault"
    assert expected in done.stderr
