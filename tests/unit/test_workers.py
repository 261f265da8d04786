"""What the supervisor of a model server learns of its workers."""

import threading
import time
from typing import Any

import pytest
import uvicorn
from uvicorn.supervisors import multiprocess

from slipway.serving.supervisor import Worker

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


def test_uvicorn_makes_these_workers() -> None:
    """At the start and at each replacement."""
    assert multiprocess.Process is Worker
