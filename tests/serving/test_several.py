"""Several models at one address, as OpenAI's client, load balancers and redeploys meet them."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest
from openai import OpenAI

from commands.main import run
from slipway.errors import MachineTooSmall
from slipway.redeploy import model_server
from slipway.serving import api_keys, memory
from slipway.serving.middleware import BODY_BYTES
from slipway.serving.several import ModelGroup
from slipway.serving.supervisor import bound
from slipway.settings import Settings
from tests.support.model_servers import (
    MADRID,
    MODEL,
    SPAIN,
    Registered,
    Server,
    is_at_work,
    leave,
    wait_until,
)
from tests.support.traffic import traffic

#: A model whose answers never end by themselves, so that a client can leave.
ENDLESS = "endless"


@dataclass(frozen=True)
class Models:
    """Two models at one address.

    Attributes:
        url: The address.
        folder: Holds the folder of each model's server.
        pid: The process that has started all of it.
    """

    url: str
    folder: Path
    pid: int

    def client(self, key: str = "none") -> OpenAI:
        """Return OpenAI's client without retries, which would hide a fault."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=60)

    def ask(self, model: str, key: str = "none", **fields: Any) -> Any:
        """Send one chat request."""
        messages: Any = [{"role": "user", "content": SPAIN}]
        wanted = {"model": model, "messages": messages, "max_tokens": 16} | fields
        return self.client(key).chat.completions.create(**wanted)

    def server(self, model: str) -> Server:
        """Return a model's own server."""
        folder = self.folder / model
        found = model_server.find(folder)
        assert found
        return Server(found.url, found.pid, folder / "pointer.json", self.folder / "log")

    def ready(self) -> httpx.Response:
        """Request ``/ready``."""
        return httpx.get(f"{self.url}/ready", timeout=20)


def point(folder: Path, model: str, version: int) -> Path:
    """Write the pointer file of a model, and return it."""
    model_server.set_version(folder / model, model, version)
    return folder / model / "pointer.json"


@contextmanager
def serving(home: Path, folder: Path, *pointers: Path, **variables: str) -> Iterator[Models]:
    """Serve models at one address while the body runs."""
    flags = ["--pointer", *map(str, pointers), "--port", "0", "--workers", "1"]
    inherited = {name: text for name, text in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    file = pointers[0].with_name("front.json")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "slipway.serving", *flags],
            env=inherited | {"SLIPWAY_HOME": str(home)} | variables,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: file.is_file() or process.poll() is not None, 120)
        assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
        found = json.loads(file.read_bytes())
        yield Models(f"http://{found['host']}:{found['port']}", folder, process.pid)
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert not file.exists()


@pytest.fixture(scope="module")
def home(registered: Registered) -> Path:
    """Register the endless version of the tiny model as a model of its own, and return the home."""
    client = registered.client()
    version = client.get_model_version(MODEL, "2")
    client.create_registered_model(ENDLESS)
    client.create_model_version(ENDLESS, version.source, tags=dict(version.tags))
    client.set_registered_model_alias(ENDLESS, "champion", "1")
    return registered.home


@pytest.fixture(scope="module")
def models(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    """Serve both models to tests that leave them as they were."""
    folder = tmp_path_factory.mktemp("several")
    pointers = point(folder, MODEL, 1), point(folder, ENDLESS, 1)
    with serving(home, folder, *pointers) as running:
        yield running


def test_the_list_has_each_model_with_version_and_digest(models: Models) -> None:
    """As the list of one model's server has it; and each can be asked for alone."""
    listed = models.client().models.list().data
    alone = models.client().models.retrieve(ENDLESS)

    assert [(each.id, each.version) for each in listed] == [(MODEL, 1), (ENDLESS, 1)]  # type: ignore[attr-defined]
    assert len({each.digest for each in listed}) == 2  # type: ignore[attr-defined]
    assert alone == listed[1]


@pytest.mark.parametrize("form", ["{}", "{}@champion", "{}:1"])
def test_a_request_is_answered_by_the_model_that_it_names(models: Models, form: str) -> None:
    """With the name alone, as the served version, or with its number."""
    tiny, endless = (models.ask(form.format(each)) for each in (MODEL, ENDLESS))

    assert tiny.choices[0].message.content == MADRID
    assert (tiny.model, tiny.choices[0].finish_reason) == (form.format(MODEL), "stop")
    assert endless.choices[0].finish_reason == "length"
    assert models.client().models.retrieve(form.format(MODEL)).id == MODEL


def test_completions_are_routed_too(models: Models) -> None:
    """A text is completed by the model that is named."""
    done = models.client().completions.create(model=ENDLESS, prompt=SPAIN, max_tokens=4)

    assert done.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("nobody", f"model 'nobody' does not exist; this server has {MODEL}, {ENDLESS}"),
        (f"{MODEL}@candidate", f"this server has {MODEL}, {ENDLESS}"),
        (f"{MODEL}:latest", f"this server has {MODEL}, {ENDLESS}"),
        ("", f"this server has {MODEL}, {ENDLESS}"),
        (f"{MODEL}:2", f"{MODEL} v2 is not served; this server has version 1"),
        (f"{ENDLESS}:7", f"{ENDLESS} v7 is not served; this server has version 1"),
    ],
)
def test_what_is_not_served_is_not_found(models: Models, name: str, fault: str) -> None:
    """The error says what is served instead."""
    with pytest.raises(openai.NotFoundError, match=fault) as caught:
        models.ask(name)

    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[" * 100_000, 400, None),
        (b"[]", 400, "invalid_value"),
        (b'{"messages": []}', 400, "invalid_value"),
        (b'{"model": 7, "messages": []}', 400, "invalid_value"),
        (b" " * (BODY_BYTES + 1), 413, "request_too_large"),
    ],
)
def test_a_body_that_names_no_model_gets_the_error_of_one_models_server(
    models: Models, body: bytes, status: int, code: str | None
) -> None:
    """The same status and the same words."""
    path, headers = "/v1/chat/completions", {"Content-Type": "application/json"}
    answers = [
        httpx.post(f"{url}{path}", content=body, headers=headers, timeout=30)
        for url in (models.url, models.server(MODEL).url)
    ]

    assert {each.text for each in answers} == {answers[0].text}
    assert (answers[0].status_code, answers[0].json()["error"]["code"]) == (status, code)


def test_a_body_without_a_declared_length_is_limited_too(models: Models) -> None:
    """It is counted as it comes."""
    pieces = (b" " * 65536 for _ in range(20))
    answer = httpx.post(f"{models.url}/v1/completions", content=pieces, timeout=30)

    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


def test_a_stream_arrives_piece_by_piece(models: Models) -> None:
    """The first piece is there while the model generates; the head has the version."""
    server = models.server(ENDLESS)
    messages: Any = [{"role": "user", "content": SPAIN}]
    with models.client().chat.completions.with_streaming_response.create(
        model=ENDLESS, messages=messages, max_tokens=480, n=16, stream=True
    ) as raw:
        lines = (line for line in raw.iter_lines() if line)
        next(lines)
        busy = server.figure("slipway_serving_busy")
        rest = list(lines)

    assert busy == 1
    assert raw.headers["x-model-version"] == "1"
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert rest[-1] == "data: [DONE]"


@pytest.mark.parametrize("stream", [False, True])
def test_the_model_is_free_again_once_its_client_left(models: Models, *, stream: bool) -> None:
    """Its server is told, whether the answer has begun or not."""
    server = models.server(ENDLESS)
    cancelled = server.figure("slipway_serving_cancelled_total")
    body = {"model": ENDLESS, "messages": [{"role": "user", "content": SPAIN}]}
    leave(models.url, server, body | {"n": 16, "max_tokens": 480, "stream": stream})

    server.reaches(cancelled + 1, "slipway_serving_cancelled_total")
    server.reaches(0, "slipway_serving_busy")


def test_all_that_is_ready_is_named(models: Models) -> None:
    """For a load balancer, and for people."""
    answer = models.ready()

    assert answer.status_code == 200
    assert [each["model"] for each in answer.json()["models"]] == [MODEL, ENDLESS]
    assert {each["version"] for each in answer.json()["models"]} == {1}
    assert httpx.get(f"{models.url}/health").json() == {"status": "ok"}


def test_one_page_of_metrics_has_both_models(models: Models) -> None:
    """Each metric is described once, and each series is there once."""
    models.ask(MODEL)
    models.ask(ENDLESS)
    front = Server(models.url, models.pid, models.folder, models.folder)

    answered = {"route": "/v1/chat/completions", "status": "200"}
    for model in (MODEL, ENDLESS):
        wanted = partial(front.figure, "slipway_serving_requests_total", model=model, **answered)
        wait_until(wanted, 30)
    families = front.families()
    assert len({each.name for each in families}) == len(families)
    assert {each.type for each in families} >= {"counter", "gauge", "histogram"}
    name, server = "gen_ai_client_token_usage_count", models.server(MODEL)
    wait_until(lambda: front.figure(name, gen_ai_request_model=MODEL) == server.figure(name), 30)


def test_a_refusal_before_a_models_server_is_a_figure(models: Models) -> None:
    """What a model's server refuses is in its own metrics, and not here."""
    front = Server(models.url, models.pid, models.folder, models.folder)
    refused = partial(front.figure, "slipway_serving_front_refusals_total")
    before = refused(status="404"), refused(status="400")

    with pytest.raises(openai.NotFoundError):
        models.ask("nobody")
    with pytest.raises(openai.BadRequestError):
        models.client().chat.completions.create(model=MODEL, messages=[])

    assert (refused(status="404"), refused(status="400")) == (before[0] + 1, before[1])


def test_the_page_has_both_models_and_what_is_served_beside_them(models: Models) -> None:
    """It asks this address, and the servers of other versions of each model."""
    file = models.folder / ENDLESS / "beside" / "server.json"
    file.parent.mkdir()
    other = {"host": "127.0.0.1", "port": 4711, "workers": 1, "pid": models.pid}
    try:
        file.write_text(json.dumps(other), encoding="utf-8")
        listed = httpx.get(f"{models.url}/beside").json()
        page = httpx.get(f"{models.url}/")
    finally:
        file.unlink()
        file.parent.rmdir()

    assert listed == [{"url": "http://127.0.0.1:4711"}]
    assert "connect-src 'self' http://127.0.0.1:4711;" in page.headers["Content-Security-Policy"]
    assert "<select" in page.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "//v1//models/", 200),
        ("HEAD", "/health", 200),
        ("GET", "/openapi.json", 200),
        ("OPTIONS", "/v1/models", 204),
        ("GET", "/v1/completions", 405),
        ("GET", "/nothing", 404),
    ],
)
def test_other_requests_are_answered_as_by_one_models_server(
    models: Models, method: str, path: str, status: int
) -> None:
    """Slashes too many, other methods, unknown paths."""
    answer = httpx.request(method, f"{models.url}{path}", timeout=20)

    assert answer.status_code == status
    if status >= 400:
        assert answer.json()["error"]["message"]


def test_another_host_is_refused(models: Models) -> None:
    """No web page may point a name of its own at this address."""
    answer = httpx.get(f"{models.url}/v1/models", headers={"Host": "evil.example"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (421, "host_not_allowed")


def test_a_killed_server_fails_the_requests_for_its_model_alone(models: Models) -> None:
    """They get 503 and may try again; after a while its server has been started again."""
    killed = models.server(ENDLESS).pid
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: models.ready().status_code == 503, 30)  # its workers have ended too
    with pytest.raises(openai.InternalServerError) as caught:
        models.ask(ENDLESS)
    listed = [each.id for each in models.client().models.list().data]
    unready = models.ready()
    tiny = models.ask(MODEL)

    assert (caught.value.status_code, caught.value.code) == (503, "model_not_ready")
    assert int(caught.value.response.headers["retry-after"]) > 0
    assert unready.status_code == 503
    assert unready.json()["error"]["message"].startswith(f"{ENDLESS} is not being served")
    assert tiny.choices[0].message.content == MADRID
    assert listed == [MODEL]
    wait_until(lambda: models.ready().status_code == 200, 60)
    assert models.server(ENDLESS).pid != killed


def test_a_redeploy_of_one_model_fails_no_request(models: Models) -> None:
    """The model's own server replaces its workers, and every request is answered."""
    server = models.server(MODEL)
    before = server.ready().json()["pid"]
    with traffic(models.url) as sent:
        sent.wait_for(20)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: server.ready().json()["pid"] != before, 60)
        wait_until(lambda: len(server.engines()) == 1, 30)
        sent.wait_for(len(sent.outcomes) + 20)

    assert sent.faults == []


def test_the_front_is_started_again(models: Models) -> None:
    """The models stay loaded, and requests wait for it."""
    pids = {each: models.server(each).pid for each in (MODEL, ENDLESS)}
    children = psutil.Process(models.pid).children()
    (front,) = [each for each in children if "slipway.serving.front" in each.cmdline()]
    front.kill()

    wait_until(lambda: not is_at_work(front), 10)
    assert models.ask(MODEL).choices[0].message.content == MADRID
    assert pids == {each: models.server(each).pid for each in pids}


@pytest.mark.slow
def test_a_model_joins_once_it_has_a_version(home: Path, tmp_path: Path) -> None:
    """Until then it is unknown; the other one is served all the time."""
    first, later = point(tmp_path, MODEL, 1), tmp_path / ENDLESS / "pointer.json"
    with serving(home, tmp_path, first, later) as models:
        with pytest.raises(openai.NotFoundError, match=f"this server has {MODEL}"):
            models.ask(ENDLESS)
        assert models.ready().status_code == 200
        point(tmp_path, ENDLESS, 1)
        wait_until(lambda: model_server.find(later.parent), 60)

        assert models.ask(ENDLESS).choices[0].finish_reason == "length"
        assert len(models.ready().json()["models"]) == 2


@pytest.fixture(scope="module")
def locked(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Models, Path]]:
    """Serve both models with keys, and return the file of the keys too."""
    folder = tmp_path_factory.mktemp("locked")
    keys = folder / "keys.json"
    pointers = point(folder, MODEL, 1), point(folder, ENDLESS, 1)
    variables = {
        "SLIPWAY_SERVE_KEYS_FILE": str(keys),
        "SLIPWAY_ALLOWED_ORIGINS": "http://a.example",
    }
    with serving(home, folder, *pointers, **variables) as running:
        yield running, keys


def test_a_key_may_use_the_models_that_it_is_for(locked: tuple[Models, Path]) -> None:
    """It sees no others, and is limited by the server of the model that it asks."""
    models, keys = locked
    key, _ = api_keys.new(keys, "ann", (MODEL,), 2)

    assert models.ask(MODEL, key).choices[0].message.content == MADRID
    assert [each.id for each in models.client(key).models.list().data] == [MODEL]
    with pytest.raises(openai.PermissionDeniedError) as denied:
        models.ask(ENDLESS, key)
    with pytest.raises(openai.NotFoundError) as unknown:
        models.ask("nobody", key)
    with pytest.raises(openai.RateLimitError) as limited:
        models.ask(MODEL, key)
    with pytest.raises(openai.AuthenticationError):
        models.ask(MODEL, "sk-slipway-wrong")

    assert denied.value.code == "model_not_found"
    assert ENDLESS not in str(unknown.value)
    assert limited.value.response.headers["x-ratelimit-limit-requests"] == "2"


def test_some_paths_need_no_key(locked: tuple[Models, Path]) -> None:
    """As on one model's server; a page of an allowed origin can read why it was refused."""
    models, _ = locked
    paths = ("/", "/health", "/ready", "/metrics", "/v1/models", "/nothing")
    found = {path: httpx.get(f"{models.url}{path}").status_code for path in paths}
    refused = httpx.get(f"{models.url}/v1/models", headers={"Origin": "http://a.example"})

    assert list(found.values()) == [200, 200, 200, 200, 401, 401]
    assert refused.headers.get_list("access-control-allow-origin") == ["http://a.example"]


@pytest.mark.slow
def test_the_command_serves_several_champions(registered: Registered, home: Path) -> None:
    """It prints one address; Ctrl-C ends all processes."""
    registered.promote(1)
    code = "import sys; from commands.main import run; sys.exit(run(sys.argv[1:]))"
    inherited = {name: text for name, text in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", MODEL, ENDLESS, "--port", "0", "--workers", "1"],
        env=inherited | {"SLIPWAY_HOME": str(home), "COLUMNS": "300"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [next(process.stdout) for _ in range(3)]
        (url,) = re.findall(r"(http://127\.0\.0\.1:\d+)/v1", "".join(lines))
        models = Models(url, home / "serving", process.pid)
        listed = [each.id for each in models.client().models.list().data]
        again = subprocess.run(
            [sys.executable, "-c", code, "serve", ENDLESS],
            env=inherited | {"SLIPWAY_HOME": str(home), "COLUMNS": "300"},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0

    assert lines[0].startswith(f"{MODEL} v1, {ENDLESS} v1 are serving")
    assert listed == [MODEL, ENDLESS]
    assert again.stderr.startswith(f"slipway: {ENDLESS} is being served at {url};")
    assert [*home.glob("serving/*/server.json"), *home.glob("serving/*/front.json")] == []


def test_the_number_of_a_version_is_for_one_model(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is started."""
    monkeypatch.setenv("SLIPWAY_HOME", str(home))

    assert run(["serve", MODEL, ENDLESS, "--version", "1"]) == 2

    assert capsys.readouterr().err.startswith("slipway: --version is for one model")


@pytest.mark.slow
def test_all_or_none_are_served_at_the_start(home: Path, tmp_path: Path) -> None:
    """A version that does not exist ends the other server too; the exit code says so."""
    pointers = point(tmp_path, MODEL, 1), point(tmp_path, ENDLESS, 7)
    flags = ["--pointer", *map(str, pointers), "--port", "0", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "slipway.serving", *flags],
        env=os.environ | {"SLIPWAY_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"slipway: {ENDLESS} v7 was not found")
    assert list(tmp_path.glob("*/*.json")) == [*pointers]


def test_a_machine_that_starts_no_process_ends_no_server(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have no memory at the moment; what runs goes on, and the rest is tried again."""
    refused: list[object] = []

    def refuse(command: object, **_: object) -> None:
        refused.append(command)
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setenv("SLIPWAY_HOME", str(home))
    monkeypatch.setattr(ModelGroup, "_require_memory", lambda *_: None)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    pointer = point(tmp_path, MODEL, 1)
    with bound("127.0.0.1", 0) as listener:
        ModelGroup((pointer.parent,), listener, 2, Settings()).look_after()

    assert len(refused) == 2, "the front, and the model's server"


def test_memory_is_checked_before_a_model_is_added(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is started; the error says what needs how much."""
    monkeypatch.setenv("SLIPWAY_HOME", str(home))
    monkeypatch.setattr(memory, "_LIBRARY_BYTES", 10**15)
    pointer = point(tmp_path, MODEL, 1)
    with bound("127.0.0.1", 0) as listener:
        group = ModelGroup((pointer.parent,), listener, 2, Settings())
        with pytest.raises(MachineTooSmall) as caught:
            group.start()

    assert str(caught.value).startswith(f"serving {MODEL} v1 with 2 workers needs 2000000.0 GB")
    assert not pointer.with_name("server.json").exists()
