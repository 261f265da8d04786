"""One function call in a process of its own: it can be ended, is bounded and is measured.

Native code holds the interpreter's lock, models-from-code use a process-wide variable, and a
builder may take all memory. Such work runs here, and the caller receives a typed result or a typed
error. Requests, results and progress are values that travel as JSON, apart from what is printed.
"""

import json
import os
import selectors
import signal
import tempfile
import time
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, Self, TypeVar

from pydantic import BaseModel, TypeAdapter

from slipway import errors
from slipway.errors import StepCrashed, StepOutOfMemory
from slipway.system import fork_server
from slipway.system.process import Process, ProcessLimits, environment, spawn
from slipway.system.progress import Progress, silent

Request = TypeVar("Request", bound=BaseModel)
Result = TypeVar("Result")

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class CallResult(Generic[Result]):
    """What a child returned, and what it cost.

    Attributes:
        value: The function's result.
        seconds: Time from start to end of the process.
        peak_memory_bytes: Most memory that the process and its descendants held at once.
    """

    value: Result
    seconds: float
    peak_memory_bytes: int


def call(
    function: Callable[[Request], Result],
    request: Request,
    limits: ProcessLimits,
    *,
    step: str,
    progress: Progress = silent,
) -> CallResult[Result]:
    """Return ``function(request)``, computed in a child process.

    Args:
        function: Of a module's top level, with annotations; imports heavy libraries itself.
        request: Its only argument.
        limits: What the child may use.
        step: Name for errors, for the log, and by its first word for the policy of secrets.
        progress: Receives what the function reports with ``slipway.system.progress.report``.

    Raises:
        SlipwayError: The one that the function raised.
        StepCrashed: If it raised anything else, or the process ended without a result.
        StepTimedOut: If it was still running at its time limit.
        StepOutOfMemory: If it was ended for memory.
    """
    with _Channel() as channel:
        try:
            child = _start(function, request, channel.writing, limits.logs, step)
        finally:
            os.close(channel.writing)
        try:
            answer, peak = _follow(child, channel, limits, progress)
            seconds = child.seconds
            value = _value(function, answer, child, peak)
        finally:
            child.end()
    return CallResult(value, seconds, max(peak, answer["peak_memory_bytes"]))


class _Channel:
    """What a child sends to its parent: one JSON document a line."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        self.closed = False
        self._rest = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._reading, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        os.close(self._reading)

    def receive(self, seconds: float) -> Iterator[dict[str, Any]]:
        """Yield what has arrived; wait for it at most so long."""
        while not self.closed and self._selector.select(seconds):
            block = os.read(self._reading, 1 << 16)
            self.closed = not block
            *lines, self._rest = (self._rest + block).split(b"\n")
            yield from map(json.loads, lines)
            seconds = 0


def _start(
    function: Callable[[Request], Any], request: Request, channel: int, logs: Path, step: str
) -> Process:
    """Fork the child from a server that has imported what the step needs, or start it anew."""
    variables = environment(step)
    log = _new_log(logs, step)
    with _document() as document, log.open("ab") as output:
        document.write(f"{function.__module__}:{function.__qualname__}\n".encode())
        document.write(request.model_dump_json().encode())
        document.seek(0)
        forked = fork_server.fork(step, variables, document.fileno(), output.fileno(), channel)
        if forked:
            return Process(step, log, forked)
        arguments = ("-m", "slipway.system.worker", str(channel))
        return spawn(step, arguments, log, variables, stdin=document, pass_fds=(channel,))


def _document() -> IO[bytes]:
    """Return a file that is gone when it is closed, in memory where the system offers that."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("request"), "w+b")
    return tempfile.TemporaryFile()


def _new_log(logs: Path, step: str) -> Path:
    logs.mkdir(parents=True, exist_ok=True)
    begin = f"{step.replace(' ', '-')}-{time.strftime('%Y%m%d-%H%M%S')}-"
    descriptor, log = tempfile.mkstemp(prefix=begin, suffix=".log", dir=logs)
    os.close(descriptor)
    return Path(log)


def _follow(
    child: Process, channel: _Channel, limits: ProcessLimits, progress: Progress
) -> tuple[dict[str, Any], int]:
    """Return the child's answer, empty if there is none, and its peak memory, when it has ended.

    A process that the child started may keep the channel open, so the child's end is what counts.
    """
    answer: dict[str, Any] = {}
    peak, running = 0, True
    while running:
        running = child.is_running()
        for document in channel.receive(_POLL_SECONDS if running else 0):
            if "progress" in document:
                progress(*document["progress"])
            else:
                answer = document
        if running:
            peak = max(peak, child.require_limits(limits))
        if channel.closed:
            child.wait(_POLL_SECONDS)
    return answer, peak


def _value(
    function: Callable[[Any], Result], answer: dict[str, Any], child: Process, peak: int
) -> Result:
    if not answer:
        if child.wait() == -signal.SIGKILL:
            raise StepOutOfMemory(child.name, peak, str(child.log))
        raise child.crashed()
    if error := answer.get("error"):
        kind = getattr(errors, error["kind"], None)
        if kind is None:
            raise StepCrashed(child.name, error["text"], str(child.log))
        raise kind(*(tuple(each) if isinstance(each, list) else each for each in error["fields"]))
    result = TypeAdapter(typing.get_type_hints(function)["return"])
    value: Result = result.validate_python(answer["value"], strict=False)
    return value
