"""uvicorn's supervisor of worker processes, with what a server of models needs beyond it.

How uvicorn 0.54 reacts to a worker whose model cannot be loaded (its application reports
``lifespan.startup.failed``, and the process ends with ``STARTUP_FAILURE``):

- On SIGHUP it starts one new worker at a time and waits until that one's startup is complete, up to
  ``timeout_worker_healthcheck``. If the new worker ends instead, it is not taken into service and
  the roll is over: **the old workers go on serving the old version**.
- Anywhere else it ends the whole server. That is right at the first start, where nothing would ever
  be served. It is wrong later, when one worker was killed and MLflow is away for a moment: so once
  the server listens, a worker that ended is started again and again.
- It asks each worker for a sign of life twice a second, and waits for the answer as long as for a
  model to load; a worker that ends between both would block it for minutes. Here it is only looked
  whether the process is there; its engine looks after itself.
- It looks at signals only between two checks, so a roll could not be interrupted: here SIGTERM and
  SIGINT count at once.

A single worker goes through the same supervisor, so SIGHUP rolls it too.
"""

import json
import os
import shutil
import signal
import socket
import time
from pathlib import Path

from uvicorn import Config
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from slipway.serving import pointer
from slipway.serving.app import POINTER
from slipway.serving.engine import LOAD_SECONDS
from slipway.serving.metrics import FOLDER
from slipway.settings import Settings

_PAUSE_SECONDS = 5.0  # between two starts of workers that end
_PING_SECONDS = 0.2
_GRACE_SECONDS = 15.0  # beyond the longest answer, when a worker is asked to end


class Workers(Multiprocess):
    """Workers of one server.

    Args:
        config: uvicorn's.
        listener: The bound socket that all workers share.
        note: File that says where the server listens, once it does.
    """

    def __init__(self, config: Config, listener: socket.socket, note: Path) -> None:
        super().__init__(config, [listener])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.should_exit.set())
        self.listens = False
        self._listener = listener
        self._note = note
        self._replaced = 0.0

    def keep_subprocess_alive(self) -> None:
        """Look after the workers; say that the server listens when all of them do."""
        for index, worker in enumerate(self.processes):
            if not worker.process.is_alive():
                self._replace(index, worker)
        if not self.listens and all(each.is_ready(_PING_SECONDS) for each in self.processes):
            self._announce()

    def _announce(self) -> None:
        host, port = self._listener.getsockname()[:2]
        seen = {"pid": os.getpid(), "host": host, "port": port, "workers": self.processes_num}
        part = self._note.with_suffix(".part")
        part.write_text(json.dumps(seen), encoding="utf-8")
        part.replace(self._note)
        self.listens = True

    def _replace(self, index: int, ended: Process) -> None:
        if not self.listens:
            self.should_exit.set()
        elif time.monotonic() > self._replaced + _PAUSE_SECONDS:
            ended.kill()  # it has ended, but its pipes are open
            self.processes[index] = Process(self.config, self.sockets)
            self.processes[index].start()
            self._replaced = time.monotonic()


def serve(file: Path, host: str, port: int, workers: int) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP lets the workers read ``file`` again, one by one.

    Args:
        file: The pointer file; ``server.json`` is written beside it.
        host: Where to listen.
        port: Where; 0 takes a free one.
        workers: Processes, each with a copy of the model.

    Returns:
        0, or 1 if the model could not be loaded.

    Raises:
        SourceMissing: If the pointer cannot be read.
    """
    pointer.read(file)  # before anything is started
    note, figures = file.parent / "server.json", file.parent / "metrics"
    note.unlink(missing_ok=True)
    shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir()
    os.environ[POINTER], os.environ[FOLDER] = str(file.resolve()), str(figures.resolve())
    config = Config(
        "slipway.serving.app:create",
        factory=True,
        http="slipway.serving.keep_alive:GracefulKeepAlive",
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        log_level="info",
        server_header=False,
        timeout_graceful_shutdown=int(Settings().serving_request_seconds + _GRACE_SECONDS),
        timeout_worker_healthcheck=int(LOAD_SECONDS + 30),
    )
    supervisor = Workers(config, config.bind_socket(), note)
    try:
        supervisor.run()
    finally:
        note.unlink(missing_ok=True)
    return 0 if supervisor.listens else 1
