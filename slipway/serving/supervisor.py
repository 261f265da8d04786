"""uvicorn's supervisor of worker processes, adapted to servers of models.

How uvicorn 0.54 reacts to a worker whose model cannot be loaded (its application reports
``lifespan.startup.failed``, and the process exits with ``STARTUP_FAILURE``):

- On SIGHUP it starts one new worker at a time and waits for its startup, up to
  ``timeout_worker_healthcheck``. If the new worker exits instead, the replacement is aborted and
  **the old workers keep serving the old version**.
- Otherwise it ends the whole server. That is right at the first start. Later, when a worker was
  killed while MLflow was unreachable for a moment, it is wrong: once this server listens, a worker
  that exited is restarted again and again.
- It pings each worker twice a second and waits for the answer as long as for a model to load. A
  worker that exits between both would block it for minutes. This server only checks whether the
  process exists; its engine is watched by the worker.
- It handles signals only between two checks, so a replacement could not be interrupted. Here
  SIGTERM and SIGINT take effect at once.
- It ends when it cannot start a process or write a file, and waits for its workers, which go on
  serving. This server tries again.

A single worker has the same supervisor, so SIGHUP replaces it too.
"""

import errno
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import time
from pathlib import Path

from uvicorn import Config
from uvicorn.supervisors import Multiprocess, multiprocess

from slipway.errors import PortTaken
from slipway.serving import server_file
from slipway.serving.api_keys import note_exposure, require_keys
from slipway.serving.app import POINTER
from slipway.serving.engine import LOAD_SECONDS
from slipway.serving.metrics import FOLDER
from slipway.serving.protocol import read_pointer
from slipway.serving.worker import Worker
from slipway.settings import Settings
from slipway.system.connections import SERVER_LIMITS, LimitedConnection, allow_many_files

#: A client that sends requests more often than this never meets a closed connection.
LINGER_SECONDS = 3.0

_PAUSE_SECONDS = 5.0  # between two restarts of workers, or two attempts
_PING_SECONDS = 0.2
_GRACE_SECONDS = 15.0  # beyond the longest answer, when a worker is asked to end
_CLOSE = (b"connection", b"close")


class GracefulKeepAlive(LimitedConnection):
    """Graceful shutdown of keep-alive connections.

    uvicorn 0.54 closes every idle connection at once when a worker is asked to end. A request that
    is on its way at that moment is lost: its client sees a connection reset (once in 16,000
    requests and 32 switches). Here an idle connection stays open for ``LINGER_SECONDS``. A request
    over it is answered with ``Connection: close``, so the client's next one goes to another worker.
    """

    leaving = False

    def shutdown(self) -> None:
        """Close after the current answer, or after the next one, or after a while."""
        self.leaving = True
        self._announce_close()
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LINGER_SECONDS, self._close)

    def handle_events(self) -> None:
        """Process received data; an answer that begins now is the connection's last."""
        super().handle_events()
        if self.leaving:
            self._announce_close()

    def _announce_close(self) -> None:
        if self.cycle and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            self.cycle.default_headers = [*self.server_state.default_headers, _CLOSE]

    def _close(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()


multiprocess.Process = Worker  # type: ignore[misc] # by this name uvicorn makes its workers


class Workers(Multiprocess):
    """The workers of one server, which share a bound socket.

    ``file`` is written once all of them listen: pid, host, port, workers.
    """

    def __init__(self, config: Config, listener: socket.socket, file: Path) -> None:
        super().__init__(config, [listener])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.should_exit.set())
        self.listens = False
        self._listener = listener
        self._file = file
        self._restarted = 0.0

    def keep_subprocess_alive(self) -> None:
        """Look after the workers; what the machine cannot do now is tried again."""
        try:
            self._look_after_workers()
        except OSError as error:
            self._pause("look after its workers", error)

    def handle_hup(self) -> None:
        """Replace the workers; while the machine can start none, the old ones go on serving."""
        try:
            super().handle_hup()
        except OSError as error:
            self._pause("replace its workers", error)
            self.signal_queue.append(signal.SIGHUP)

    def _look_after_workers(self) -> None:
        """Restart workers that exited; write the server file once all of them are ready."""
        for index, worker in enumerate(self.processes):
            if not worker.process.is_alive():
                self._restart(index, worker)
        if not self.listens and all(each.is_ready(_PING_SECONDS) for each in self.processes):
            server_file.write(self._file, os.getpid(), self._listener, self.processes_num)
            self.listens = True

    def _restart(self, index: int, exited: multiprocess.Process) -> None:
        if not self.listens:
            self.should_exit.set()
        elif time.monotonic() > self._restarted + _PAUSE_SECONDS:
            worker = Worker(self.config, self.sockets)
            worker.start()
            exited.kill()  # closes its pipes
            self.processes[index] = worker
            self._restarted = time.monotonic()

    def _pause(self, what: str, error: OSError) -> None:
        logging.getLogger("uvicorn.error").error("slipway: the server cannot %s: %s", what, error)
        self.should_exit.wait(_PAUSE_SECONDS)


def serve(pointer_file: Path, host: str, port: int, workers: int) -> int:
    """Serve until SIGTERM or SIGINT; on SIGHUP the workers are replaced one by one.

    Returns:
        0, or 1 if the model could not be loaded.

    Raises:
        SourceMissing: If the pointer file cannot be read.
        KeysMissing: If other machines could use it without a key.
        PortTaken: If the port cannot be used.
    """
    read_pointer(pointer_file)  # fails before anything is started
    settings = Settings()
    require_keys(host, settings)
    note_exposure(host)
    listener = bound(host, port)
    file, metrics = pointer_file.parent / server_file.SERVER, pointer_file.parent / "metrics"
    file.unlink(missing_ok=True)
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir()
    os.environ[POINTER], os.environ[FOLDER] = str(pointer_file.resolve()), str(metrics.resolve())
    allow_many_files()  # the workers inherit it
    config = Config(
        "slipway.serving.app:create",
        factory=True,
        **SERVER_LIMITS | {"http": "slipway.serving.supervisor:GracefulKeepAlive"},
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        log_level="info",
        server_header=False,
        timeout_graceful_shutdown=int(settings.serving_request_seconds + _GRACE_SECONDS),
        timeout_worker_healthcheck=int(LOAD_SECONDS + 30),
    )
    supervisor = Workers(config, listener, file)
    try:
        supervisor.run()
    finally:
        for worker in multiprocessing.active_children():  # if not all could be started
            worker.kill()
        file.unlink(missing_ok=True)
    return 0 if supervisor.listens else 1


def bound(host: str, port: int) -> socket.socket:
    """Return a socket for child processes; uvicorn would exit with status 3 if the port is taken.

    Raises:
        PortTaken: If the port cannot be used.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        fault = "is taken" if taken else f"cannot be used ({error.strerror})"
        raise PortTaken("the model server", port, "--port", fault) from error
    listener.set_inheritable(True)
    return listener
