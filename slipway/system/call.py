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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, Self, TypeVar

from pydantic import BaseModel, TypeAdapter

from slipway import errors
from slipway.errors import StepCrashed, StepFailed, StepOutOfMemory, StepTimedOut
from slipway.system import fork_server
from slipway.system.process import Process, ProcessLimits, Watch, environment, spawn
from slipway.system.progress import Progress, silent

Request = TypeVar("Request", bound=BaseModel)
Result = TypeVar("Result")

_POLL_SECONDS = 0.2
_END_SECONDS = 10.0  # between a child's answer and its end
_LONGEST_BYTES = 64_000_000  # of a progress report or a result


@dataclass(frozen=True)
class CallResult(Generic[Result]):
    """What a child returned, and what it and its descendants cost."""

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
        step: Name for errors, for the log, and by its first word for the allow-list of variables.
        progress: Receives what the function reports with ``slipway.system.progress.report``.

    Raises:
        SlipwayError: The one that the function raised.
        StepCrashed: If it raised anything else, or the process ended without a result.
        StepTimedOut: If it was still running at its time limit.
        StepOutOfMemory: If it was ended for memory.
    """
    with _Channel() as channel:
        try:
            child = _start(function, request, channel.writing, limits, step)
        finally:
            os.close(channel.writing)
        with Watch(child, limits) as watch:
            try:
                answer = _follow(child, channel, watch, progress)
                seconds = child.seconds
            finally:
                child.end()
    value = _value(function, answer, child, limits, watch)
    return CallResult(value, seconds, max(watch.peak_bytes, answer["peak_memory_bytes"]))


class _Channel:
    """What a child sends to its parent: one JSON document a line."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        self.closed = False
        self._rest = bytearray()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._reading, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        os.close(self._reading)

    def receive(self, seconds: float) -> list[dict[str, Any]] | None:
        """Return what one block completes; None if nothing arrives within ``seconds``.

        Raises:
            OverflowError: If a document is too long.
        """
        if self.closed or not self._selector.select(seconds):
            return None
        block = os.read(self._reading, 1 << 16)
        self.closed = not block
        *lines, rest = block.split(b"\n")
        if lines:
            lines[0], self._rest = bytes(self._rest) + lines[0], bytearray()
        self._rest += rest
        if len(self._rest) > _LONGEST_BYTES:
            raise OverflowError
        return [json.loads(line) for line in lines]


def _start(
    function: Callable[[Request], Any],
    request: Request,
    channel: int,
    limits: ProcessLimits,
    step: str,
) -> Process:
    """Fork the child from a server that has imported what the step needs, or start it anew."""
    variables = environment(step)
    log = _new_log(limits.logs, step)
    held_to = [limits.timeout_seconds, limits.memory_bytes] if limits.strict else []
    with _document() as document, log.open("ab") as output:
        document.write(f"{function.__module__}:{function.__qualname__}\n".encode())
        document.write(f"{json.dumps(held_to)}\n{request.model_dump_json()}".encode())
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


def _follow(child: Process, channel: _Channel, watch: Watch, progress: Progress) -> dict[str, Any]:
    """Return the child's answer, empty if there is none, when the child has ended.

    A process that the child started may keep the channel open, so the child's end is what counts.
    """
    while watch.error is None:
        running = child.is_running()
        try:
            documents = channel.receive(_POLL_SECONDS if running else 0)
        except OverflowError:
            reason = f"its answer is longer than {_LONGEST_BYTES // 1_000_000} MB"
            raise StepCrashed(child.name, reason, str(child.log)) from None
        for document in documents or ():
            if "progress" not in document:
                child.wait(_END_SECONDS)
                return document
            progress(*document["progress"])
        if documents is None and not running:
            break
        if channel.closed:
            child.wait(_POLL_SECONDS)
    return {}


def _value(
    function: Callable[[Any], Result],
    answer: dict[str, Any],
    child: Process,
    limits: ProcessLimits,
    watch: Watch,
) -> Result:
    if not answer:
        raise watch.error or _ended(child, limits, watch.peak_bytes)
    if "out_of_memory" in answer:
        peak = max(watch.peak_bytes, answer["out_of_memory"])
        raise StepOutOfMemory(child.name, peak, str(child.log))
    if error := answer.get("error"):
        kind = getattr(errors, error["kind"], None)
        if kind is None:
            raise StepCrashed(child.name, error["text"], str(child.log))
        raise kind(*(tuple(each) if isinstance(each, list) else each for each in error["fields"]))
    result = TypeAdapter(typing.get_type_hints(function)["return"])
    value: Result = result.validate_python(answer["value"], strict=False)
    return value


def _ended(child: Process, limits: ProcessLimits, peak: int) -> StepFailed:
    """Return why a child that has ended has no answer."""
    status = child.wait()
    if status == -signal.SIGKILL:
        return StepOutOfMemory(child.name, peak, str(child.log))
    if status == -signal.SIGALRM and limits.strict:
        return StepTimedOut(child.name, limits.timeout_seconds, str(child.log))
    return child.crashed()
