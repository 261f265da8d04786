"""A server whose engine exits, whose files are not those released, or whose version is changed."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.model_servers import (
    MADRID,
    MODEL,
    SPAIN,
    Registered,
    Server,
    is_at_work,
    point,
    serving,
    start,
    wait_until,
)

REQUEST = {"model": MODEL, "messages": [{"role": "user", "content": SPAIN}], "max_tokens": 40}


@pytest.fixture(scope="module")
def fragile_server(registered: Registered, tmp_path_factory: Any) -> Iterator[Server]:
    """Serve version 2 to tests that break something and wait until it is repaired."""
    folder = tmp_path_factory.mktemp("fragile")
    with serving(registered.home, folder, 2, SLIPWAY_SERVING_ROWS="1") as running:
        yield running


@pytest.fixture
def damaged(registered: Registered) -> Iterator[Callable[[], None]]:
    """Change one byte of version 2 in MLflow, and yield a function that repairs it.

    Verified copies would be used as long as they are there.
    """
    shutil.rmtree(registered.home / "copies")
    whole = registered.weights.read_bytes()
    registered.weights.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])

    def repair() -> None:
        registered.weights.write_bytes(whole)

    yield repair
    repair()


def test_a_killed_engine_fails_its_requests_and_is_started_again(fragile_server: Server) -> None:
    """A waiting request gets 503, a stream an error as its last event; then all is as before."""
    [engine] = fragile_server.engines()
    worker = fragile_server.ready().json()["pid"]
    endless = REQUEST | {"stream": True, "max_tokens": 480, "n": 16}
    url = f"{fragile_server.url}/v1/chat/completions"
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(fragile_server.chat(**REQUEST)))
    with httpx.stream("POST", url, json=endless, timeout=30) as streamed:
        engine.suspend()
        waiting.start()
        wait_until(lambda: fragile_server.figure("slipway_serving_queue") == 1, 10)
        engine.send_signal(signal.SIGKILL)
        lines = [line for line in streamed.iter_lines() if line]
    waiting.join()
    refused = [*answers, fragile_server.ready(), fragile_server.chat(**REQUEST)]
    wait_until(lambda: fragile_server.ready().status_code == 200, 60)

    assert json.loads(lines[0].removeprefix("data: "))["choices"]
    assert json.loads(lines[-1].removeprefix("data: "))["error"]["code"] == "model_not_ready"
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_ready")
    assert fragile_server.chat(**REQUEST).json()["usage"]["completion_tokens"] == 40
    assert fragile_server.ready().json()["pid"] == worker
    assert fragile_server.figure("slipway_serving_engine_restarts_total") == 1


def test_changed_bytes_are_not_served(damaged: Callable[[], None], fragile_server: Server) -> None:
    """The reason is reported; repaired files are served again."""
    [engine] = fragile_server.engines()
    engine.send_signal(signal.SIGKILL)
    wait_until(lambda: "artifacts/model" in fragile_server.ready().text, 60)

    refused = fragile_server.ready()
    damaged()
    wait_until(lambda: fragile_server.ready().status_code == 200, 60)

    assert refused.status_code == 503
    assert "was released" in refused.json()["error"]["message"]


@pytest.mark.usefixtures("damaged")
def test_a_server_does_not_start_with_changed_bytes(registered: Registered, tmp_path: Path) -> None:
    """It prints the reason in one line and exits."""
    point(tmp_path / "pointer.json", 2)

    process = start(registered.home, tmp_path / "pointer.json")

    assert process.wait(timeout=60) == 1
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "tiny v2 is not being served: artifacts/model has digest" in log
    assert "Traceback" not in log
    assert not (tmp_path / "server.json").exists()


def test_a_server_that_cannot_say_where_it_listens_tries_again(
    registered: Registered, tmp_path: Path
) -> None:
    """As on a full disk: it goes on serving, and is found once there is room."""
    log, in_the_way = tmp_path / "log", tmp_path / "server.part"
    in_the_way.mkdir()
    point(tmp_path / "pointer.json", 2)
    process = start(registered.home, tmp_path / "pointer.json")
    try:
        wait_until(lambda: "cannot look after its workers" in log.read_text(encoding="utf-8"), 120)
        assert process.poll() is None
        assert not (tmp_path / "server.json").exists()

        in_the_way.rmdir()
        wait_until((tmp_path / "server.json").is_file, 20)
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0


def test_on_sighup_the_workers_are_replaced_by_the_pointers_version(fragile_server: Server) -> None:
    """A version that cannot be loaded changes nothing; one that can is served without a gap."""
    old = fragile_server.ready().json()
    point(fragile_server.pointer, 9)
    os.kill(fragile_server.pid, signal.SIGHUP)
    aborted = "aborting the restart"
    wait_until(lambda: aborted in fragile_server.log.read_text(encoding="utf-8"), 60)
    assert fragile_server.ready().json() == old

    point(fragile_server.pointer, 1)
    os.kill(fragile_server.pid, signal.SIGHUP)
    versions: set[int] = set()

    def replaced() -> bool:
        answer = fragile_server.ready()
        assert answer.status_code == 200
        versions.add(answer.json()["version"])
        return bool(answer.json()["version"] == 1)

    wait_until(replaced, 60)
    wait_until(lambda: len(fragile_server.engines()) == 1, 30)  # the old worker has exited
    new = fragile_server.ready().json()
    assert versions == {1, 2}
    assert new["digest"] != old["digest"]
    assert new["pid"] != old["pid"]
    assert fragile_server.chat(**REQUEST).json()["choices"][0]["message"]["content"] == MADRID


def test_a_killed_worker_ends_its_engine_and_is_restarted(fragile_server: Server) -> None:
    """No engine remains in memory."""
    [engine] = fragile_server.engines()
    os.kill(fragile_server.ready().json()["pid"], signal.SIGKILL)

    wait_until(lambda: not is_at_work(engine), 10)

    def replaced() -> bool:
        try:
            return fragile_server.ready().status_code == 200
        except httpx.TransportError:
            return False

    wait_until(replaced, 60)
    assert fragile_server.engines() != [engine]
