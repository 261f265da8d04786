"""Several models at one address: a server for each, and one in front of them.

Each model's server is the same as alone, on a free port of loopback; see ``supervisor``. The front
passes requests on to them; see ``front``. What ends later is started again, alone.
"""

import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from socket import socket

from slipway.errors import SlipwayError
from slipway.serving import loading, memory, server_file
from slipway.serving.api_keys import note_exposure, require_keys
from slipway.serving.protocol import Pointer, read_pointer
from slipway.serving.supervisor import bound
from slipway.settings import Settings
from slipway.system import process as processes
from slipway.system.network import answers, host_in_url
from slipway.tracking.verified_copy import CopyPlace

_LOOK_SECONDS = 0.5
_RESTART_SECONDS = 15.0  # between two starts of one process
_REMEDY = "serve fewer models or fewer workers, or close something"

Child = subprocess.Popen[bytes]


def serve(pointer_files: tuple[Path, ...], host: str, port: int, workers: int) -> int:
    """Serve several models until SIGTERM or SIGINT: all that have a version, or none.

    A model whose pointer file is written later is served from then on. ``front.json`` is written
    into the folder of each model once the address answers: pid, host, port, workers.

    Args:
        pointer_files: Each in a folder with the name of its model.
        host: Where the front listens.
        port: Where the front listens; 0 takes a free port.
        workers: Of each model.

    Returns:
        1 if a server ended before it was ready; its output says why.

    Raises:
        SourceMissing: If there is no version to serve.
        KeysMissing: If other machines could use it without a key.
        PortTaken: If the port cannot be used.
        MachineTooSmall: If there is too little memory for one of the models.
    """
    settings = Settings()
    require_keys(host, settings)
    note_exposure(host)
    folders = tuple(file.parent.resolve() for file in pointer_files)
    if not any(map(_has_version, folders)):
        read_pointer(pointer_files[0])  # says how to write one
    listener = bound(host, port)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    with ModelGroup(folders, listener, workers, settings) as group:
        if not group.start():
            return 1
        while True:
            group.look_after()
            time.sleep(_LOOK_SECONDS)


class ModelGroup(AbstractContextManager["ModelGroup"]):
    """The servers of several models and their front; leaving the context ends them all.

    Args:
        folders: Of the models' servers.
        listener: The bound socket of the front.
        workers: Of each model.
        settings: Those of the servers.
    """

    def __init__(
        self, folders: tuple[Path, ...], listener: socket, workers: int, settings: Settings
    ) -> None:
        self._folders = folders
        self._listener = listener
        self._workers = workers
        self._settings = settings
        self._children: dict[Path | None, Child] = {}  # None: the front
        self._tried: dict[Path | None, float] = {}

    def __exit__(self, *_error: object) -> None:
        """Ask every process to end, and wait: open answers are completed first."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        for folder in self._folders:
            (folder / server_file.FRONT).unlink(missing_ok=True)
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            child.wait()

    def start(self) -> bool:
        """Start the servers one after the other, then the front; tell whether none has ended.

        Raises:
            MachineTooSmall: If there is too little memory for one of the models.
        """
        for folder in filter(_has_version, self._folders):
            if not self._wait(self._start_server(folder), partial(_listens, folder)):
                return False
        host, port = self._listener.getsockname()[:2]
        health = f"http://{host_in_url(host)}:{port}/health"
        if not self._wait(self._start_front(), lambda _: answers(health)):
            return False
        for folder in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / server_file.FRONT
            server_file.write(file, os.getpid(), self._listener, self._workers)
        return True

    def look_after(self) -> None:
        """Start what has ended, and the servers of models that have a version now, one by one."""
        for which in self._due():
            try:
                self._start_server(which) if which else self._start_front()
            except (SlipwayError, OSError) as error:  # the other models are served all the same
                logging.getLogger("uvicorn.error").warning("slipway: %s", error)

    def _due(self) -> Iterator[Path | None]:
        """Yield what is to be started now: the front, and a server if no other one is loading.

        Until a server listens, it does not hold the memory that its model needs. The one whose last
        start was longest ago is next, so that one that never starts holds up no other.
        """
        if self._is_due(None):
            yield None
        if not self._is_loading():
            due = filter(self._is_due, filter(_has_version, self._folders))
            yield from sorted(due, key=self._tried_at)[:1]

    def _is_loading(self) -> bool:
        servers = [(folder, child) for folder, child in self._children.items() if folder]
        return any(each.poll() is None and not _listens(folder, each) for folder, each in servers)

    def _tried_at(self, which: Path | None) -> float:
        return self._tried.get(which, -math.inf)

    def _is_due(self, which: Path | None) -> bool:
        child = self._children.get(which)
        is_running = child is not None and child.poll() is None
        return not is_running and time.monotonic() > self._tried_at(which) + _RESTART_SECONDS

    def _start_server(self, folder: Path) -> Child:
        self._tried[folder] = time.monotonic()
        pointer = folder / server_file.POINTER
        self._require_memory(read_pointer(pointer))
        flags = ("--pointer", str(pointer), "--port", "0", "--workers", str(self._workers))
        return self._run(folder, "slipway.serving", *flags)

    def _require_memory(self, pointer: Pointer) -> None:
        """Check that there is memory for a model's workers, beside what is running already."""
        made = CopyPlace.of(self._settings).made(pointer.model, pointer.version)
        files = made or loading.verified_copy(pointer, self._settings).folder
        needed = self._workers * memory.loaded_bytes(memory.size_bytes(files))
        memory.require_free(f"serving {pointer} with {self._workers} workers", needed, _REMEDY)

    def _start_front(self) -> Child:
        self._tried[None] = time.monotonic()
        descriptor = str(self._listener.fileno())
        return self._run(None, "slipway.serving.front", descriptor, *map(str, self._folders))

    def _run(self, which: Path | None, module: str, *arguments: str) -> Child:
        """Start a module that ends with this process, however that ends."""
        self._children[which] = subprocess.Popen(
            processes.command("-m", module, *arguments),
            pass_fds=[self._listener.fileno()] if which is None else [],
            preexec_fn=partial(processes.die_with_parent, signal.SIGTERM),  # noqa: PLW1509 - no threads
        )
        return self._children[which]

    def _wait(self, child: Child, is_ready: Callable[[Child], bool]) -> bool:
        """Wait for a process that was started; tell whether it is ready and has not ended."""
        while child.poll() is None:
            if is_ready(child):
                return True
            time.sleep(_LOOK_SECONDS)
        return False


def _has_version(folder: Path) -> bool:
    return (folder / server_file.POINTER).is_file()


def _listens(folder: Path, child: Child) -> bool:
    found = server_file.read(folder / server_file.SERVER)
    return found is not None and found.pid == child.pid
