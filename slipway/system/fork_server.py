"""Processes that import heavy libraries once, and fork a child for each call.

To import torch, transformers, MLflow or the builder takes 1 to 4 s of a core. A server imports and
does nothing else: it has a single thread and no secret, so its memory may be forked. Each child has
a session, an environment, a log and limits of its own, as a new process has. The server is only an
accelerator: where it cannot be used, the caller starts a new process.

``python -m slipway.system.fork_server DESCRIPTOR MODULES…`` is such a server.
"""

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from slipway.system import process as processes
from slipway.system import worker

_BUILD = ("onnxruntime_genai.models.builder", "transformers", "slipway.build.onnx")
_MEASURE = ("onnxruntime_genai", "slipway.evaluation.candidate")
_ONNX = ("mlflow.pyfunc", "pandas", "slipway.checks.ask")
_DATABASE = "mlflow.store.tracking.sqlalchemy_store"
_TRANSFORMERS = ("torch", "transformers.pipelines", "mlflow.transformers", _DATABASE, *_ONNX)

#: Modules that a server imports, by a step or the first word of several. A child's memory includes
#: them, so a step shares no server with one that needs more. ``time`` has none: its memory and its
#: time to load are results.
PRELOADED: Mapping[str, tuple[str, ...]] = {
    "download": _BUILD,
    "build": _BUILD,
    "read": _BUILD,
    "render": _BUILD,
    "validate": _BUILD,
    "compare": _MEASURE,
    "log": _TRANSFORMERS,
    "smoke-test transformers": _TRANSFORMERS,
    "smoke-test": _ONNX,
}

#: Variables that no import reads. A server does not receive them, so it serves all their values.
_READ_LATE = ("SLIPWAY_", "TMPDIR")
#: Without these, an import of numpy and pyarrow starts threads.
_ONE_THREAD = {
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OPENBLAS_NUM_THREADS": "1",
}

_START_SECONDS = 120.0
_IDLE_SECONDS = 120.0
_STATUS = struct.Struct("i")  # the child's id, then its exit status


class ForkedProcess:
    """A child that a server has forked; see ``slipway.system.process.Handle``."""

    def __init__(self, pid: int, status: socket.socket) -> None:
        self.pid = pid
        self._status = status
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit status; None while the process is running."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status. A server that was killed has taken its children along."""
        if self._code is None:
            self._status.settimeout(timeout)
            try:
                data = self._status.recv(_STATUS.size)
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired("", timeout or 0) from None
            except OSError:
                data = b""
            self._code = _STATUS.unpack(data)[0] if data else -signal.SIGKILL
            self._status.close()
        return self._code


class _Server:
    """The parent's side of one server."""

    def __init__(self, variables: Mapping[str, str], modules: tuple[str, ...]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            arguments = ("-m", "slipway.system.fork_server", str(theirs.fileno()), *modules)
            self._process = processes.spawn(
                "fork-server", arguments, Path(os.devnull), variables, pass_fds=(theirs.fileno(),)
            )

    def fork(self, descriptors: list[int]) -> ForkedProcess | None:
        """Return a child, None if the server cannot be used.

        Args:
            descriptors: The child's job, document, log and channel.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_START_SECONDS)
        try:
            with theirs:
                socket.send_fds(self._control, [b"fork"], [*descriptors, theirs.fileno()])
            data = ours.recv(_STATUS.size)
        except TimeoutError:  # a child that comes late would write where the next process does
            self.end()
            data = b""
        except OSError:
            data = b""
        if not data:
            ours.close()
            return None
        return ForkedProcess(_STATUS.unpack(data)[0], ours)

    def is_running(self) -> bool:
        return self._process.is_running()

    def end(self) -> None:
        self._control.close()
        self._process.end()


_servers: dict[Any, _Server] = {}
_lock = threading.Lock()


def fork(
    step: str, variables: Mapping[str, str], document: int, log: int, channel: int
) -> ForkedProcess | None:
    """Fork a child for a call; return None if the step has no server, or it cannot be used.

    Args:
        step: Name of the step, which selects the server.
        variables: The child's whole environment.
        document: Descriptor of the request; see ``slipway.system.worker``.
        log: Descriptor that takes the child's output.
        channel: Descriptor that takes the child's answer.
    """
    modules = PRELOADED.get(step) or PRELOADED.get(step.partition(" ")[0], ())
    if not modules or sys.platform != "linux":
        return None
    job = json.dumps(dict(variables))
    public = processes.environment("fork-server", variables)
    early = {name: text for name, text in public.items() if not name.startswith(_READ_LATE)}
    key = (os.getpid(), modules, tuple(sorted(early.items())))
    with _lock, os.fdopen(os.memfd_create("job"), "w+b") as file:  # no secret reaches a disk
        file.write(job.encode())
        file.flush()
        for each in [each for each, server in _servers.items() if not server.is_running()]:
            _servers.pop(each).end()
        if key not in _servers:
            _servers[key] = _Server(early | _ONE_THREAD, modules)
        return _servers[key].fork([file.fileno(), document, log, channel])


def serve(control: socket.socket, modules: list[str]) -> None:
    """Import ``modules`` and fork a child for each request, until the parent ends or is idle."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    children: dict[int, socket.socket] = {}
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while (ready := selector.select(_IDLE_SECONDS)) or children:
            for key, _ in ready:
                if key.fileobj is woken:
                    woken.recv(4096)
                    _reap(children)
                elif not _accept(control, children):
                    return


def _reap(children: dict[int, socket.socket]) -> None:
    for pid in tuple(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with children.pop(pid) as parent, contextlib.suppress(OSError):
                parent.send(_STATUS.pack(os.waitstatus_to_exitcode(status)))


def _accept(control: socket.socket, children: dict[int, socket.socket]) -> bool:
    """Answer one request; return whether the parent is still there."""
    message, descriptors, *_ = socket.recv_fds(control, 16, 5)
    if not message:
        return False
    *files, status = descriptors
    parent = socket.socket(fileno=status)
    if _threads() == 1:
        pid = os.fork()
        if pid == 0:
            for each in (control, parent, *children.values()):
                each.close()
            _be_child(*files)
        children[pid] = parent
        parent.send(_STATUS.pack(pid))
    else:
        parent.close()
    for descriptor in files:
        os.close(descriptor)
    return True


def _threads() -> int:
    native = sum(1 for _ in Path("/proc/self/task").iterdir())
    return max(threading.active_count(), native)


def _be_child(job: int, document: int, log: int, channel: int) -> NoReturn:
    """Become the child: of the server, only the imported modules are left."""
    try:
        os.setsid()
        processes.die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for target, descriptor in enumerate((document, log, log)):
            os.dup2(descriptor, target)
        os.close(document)
        os.close(log)
        with os.fdopen(job, "rb") as file:
            file.seek(0)
            variables = json.load(file)
        os.environ.clear()
        os.environ.update(variables)
        worker.leave(worker.answer(sys.stdin.buffer, channel))
    finally:
        os._exit(1)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as to_parent:
        serve(to_parent, sys.argv[2:])
