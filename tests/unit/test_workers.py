"""What the supervisor of a model server learns of its workers, and does without them."""

import errno
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.supervisors import multiprocess

from slipway.serving import supervisor
from slipway.serving.worker import Worker

EARLY = 20


@pytest.fixture
def worker() -> Worker:
    """Return a worker whose process is not started; tests answer for it."""
    return Worker(uvicorn.Config("no:application"), [])


def test_what_was_asked_too_early_does_not_delay_the_news(worker: Worker) -> None:
    """A process that starts slowly answers all questions later, and then that it is ready."""
    assert not any(worker.is_ready(0) for _ in range(EARLY))
    for _ in range(EARLY):
        worker.pong()
    worker.server.started = True
    assert not worker.is_ready(0)
    worker.pong()

    assert worker.is_ready(0)


def test_a_worker_answers_for_the_server_that_it_runs(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slowly a server object is made, the thread that answers makes no second one."""
    serving = threading.current_thread()

    class SlowServer:
        """The server of the thread that answers takes longer."""

        def __init__(self, config: Any) -> None:  # noqa: ARG002 - by name
            time.sleep(0.1 if threading.current_thread() is serving else 0.3)
            self.started = False

        def run(self, _sockets: Any) -> None:
            self.started = True

    answered = threading.Event()

    def answer() -> None:
        worker.pong()
        answered.set()

    monkeypatch.setattr(multiprocess, "Server", SlowServer)
    monkeypatch.setattr(worker, "always_pong", answer)
    worker.is_ready(0)
    worker.target([])

    assert answered.wait(10)
    assert worker.server.started


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[supervisor.Workers]:
    """Return a server's workers, none of which is started; put back what handles signals."""
    handlers = {number: signal.getsignal(number) for number in multiprocess.SIGNALS}
    with socket.socket() as listener:
        yield supervisor.Workers(
            uvicorn.Config("no:application"), listener, tmp_path / "server.json"
        )
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_workers_are_replaced_once_the_machine_can_start_a_process(
    workers: supervisor.Workers,
    monkeypatch: pytest.MonkeyPatch,
    server_log: pytest.LogCaptureFixture,
) -> None:
    """Until then the old ones go on serving; formerly the server ended."""
    faults = [OSError(errno.ENOMEM, "Cannot allocate memory")]

    class Started(Worker):
        """A worker that is ready as soon as it is started; the first one cannot be."""

        def start(self) -> None:
            if faults:
                raise faults.pop()

        def wait_until_ready(self, *_: Any) -> bool:
            return True

        def terminate(self) -> None:
            pass

        def join(self) -> None:
            pass

    monkeypatch.setattr(multiprocess, "Process", Started)
    monkeypatch.setattr(supervisor, "_PAUSE_SECONDS", 0.0)
    old = Started(workers.config, [])
    workers.processes = [old]
    workers.signal_queue.append(signal.SIGHUP)
    workers.handle_signals()
    assert workers.processes == [old]
    assert "cannot replace its workers: [Errno 12]" in server_log.text

    workers.handle_signals()
    assert workers.processes != [old]
    assert not workers.signal_queue


def test_uvicorn_makes_these_workers() -> None:
    """At the start and at each replacement."""
    assert supervisor.multiprocess.Process is Worker
