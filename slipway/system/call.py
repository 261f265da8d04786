"""One function call in a process of its own: it can be ended, is bounded and is measured.

Native code holds the interpreter's lock, models-from-code use a process-wide variable, and a
builder may take all memory. Such work runs here, and the caller receives a typed result or a typed
error. Requests, results and progress are values that travel as JSON, apart from what is printed.
"""

import importlib
import json
import os
import selectors
import signal
import sys
import tempfile
import time
import traceback
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, Self, TypeVar

from pydantic import BaseModel, TypeAdapter

from slipway import errors
from slipway.errors import SlipwayError, StepCrashed, StepOutOfMemory
from slipway.system import process as processes
from slipway.system import progress as reports
from slipway.system.process import Process, ProcessLimits
from slipway.system.progress import Progress, silent

Request = TypeVar("Request", bound=BaseModel)
Result = TypeVar("Result")

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Outcome(Generic[Result]):
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
) -> Outcome[Result]:
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
    with _Channel() as channel, tempfile.TemporaryFile() as document:
        document.write(request.model_dump_json().encode())
        document.seek(0)
        child = _start(function, document, channel, limits.logs, step)
        try:
            answer, peak = _follow(child, channel, limits, progress)
            seconds = child.seconds
            value = _value(function, answer, child, peak)
        finally:
            child.end()
    return Outcome(value, seconds, max(peak, answer["peak_memory_bytes"]))


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
    function: Callable[..., Any], document: IO[bytes], channel: _Channel, logs: Path, step: str
) -> Process:
    logs.mkdir(parents=True, exist_ok=True)
    begin = f"{step.replace(' ', '-')}-{time.strftime('%Y%m%d-%H%M%S')}-"
    descriptor, log = tempfile.mkstemp(prefix=begin, suffix=".log", dir=logs)
    os.close(descriptor)
    address = f"{function.__module__}:{function.__qualname__}"
    try:
        return processes.spawn(
            step,
            ("-m", "slipway.system.call", address, str(channel.writing)),
            Path(log),
            processes.environment(step),
            stdin=document,
            pass_fds=(channel.writing,),
        )
    finally:
        os.close(channel.writing)


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
        values = (tuple(field) if isinstance(field, list) else field for field in error["fields"])
        raise kind(*values) if kind else StepCrashed(child.name, error["text"], str(child.log))
    result = TypeAdapter(typing.get_type_hints(function)["return"])
    value: Result = result.validate_python(answer["value"], strict=False)
    return value


def run(address: str, document: bytes) -> int:
    """Compute a call on the child's side, send the answer, and return the exit status."""
    try:
        module, name = address.split(":")
        function = getattr(importlib.import_module(module), name)
        hints = typing.get_type_hints(function)
        kind = next(hint for argument, hint in hints.items() if argument != "return")
        value = function(kind.model_validate_json(document))
        json_value = TypeAdapter(hints["return"]).dump_python(value, mode="json")
    except SlipwayError as error:
        _, fields = error.__reduce__()
        reports.send({"error": {"kind": type(error).__name__, "fields": fields}})
        return 1
    except Exception as error:  # noqa: BLE001 - reported to the parent, whatever it is
        traceback.print_exc()
        text = processes.describe(error)
        reports.send({"error": {"kind": "", "fields": [], "text": text}})
        return 1
    reports.send({"value": json_value, "peak_memory_bytes": processes.peak_memory_bytes()})
    return 0


def main(address: str, descriptor: int) -> None:
    """Be the child: read the request from standard input, and end without unloading libraries."""
    processes.die_with_parent()
    reports.open_channel(descriptor)
    status = run(address, sys.stdin.buffer.read())
    sys.stdout.flush()
    os._exit(status)  # native libraries have been seen to crash while they are unloaded


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
