"""One function call in a process of its own: killable, bounded, measured.

Native code holds the interpreter's lock, models-from-code use a process-wide variable, and a
builder may take all memory: so heavy or hostile work runs here, and the caller gets a typed result
or a typed error. Arguments and results are values, and travel as JSON.
"""

import contextlib
import ctypes
import importlib
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import psutil
from pydantic import BaseModel, TypeAdapter

from slipway import errors
from slipway.errors import SlipwayError, StepCrashed, StepOutOfMemory, StepTimedOut
from slipway.settings import TELEMETRY_OFF
from slipway.system.secret_policy import visible

Request = TypeVar("Request", bound=BaseModel)
Result = TypeVar("Result")

_POLL_SECONDS = 0.2

#: What every child finds in its environment: nothing is fetched, no pickle is opened, and no
#: library takes a repository around it for its own (the builder writes a commit into graphs).
_IMPOSED = {
    "GIT_DIR": os.devnull,
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class ProcessLimits:
    """What a child may use.

    Attributes:
        timeout_seconds: Longest run.
        memory_bytes: Most memory at once; None leaves it to the system.
        logs: Folder for what the child says.
    """

    timeout_seconds: float
    memory_bytes: int | None
    logs: Path


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What a child returned, and what it cost.

    Attributes:
        value: The function's result.
        seconds: Time from start to end of the process.
        peak_memory_bytes: Most that the process held at once.
    """

    value: Result
    seconds: float
    peak_memory_bytes: int


def environment(who: str) -> dict[str, str]:
    """Return what a child process finds in its environment: no secret that it does not need."""
    return TELEMETRY_OFF | visible(who, os.environ) | _IMPOSED


def call(
    function: Callable[[Request], Result],
    request: Request,
    limits: ProcessLimits,
    *,
    step: str,
    on_line: Callable[[str], None] = lambda _line: None,
) -> Outcome[Result]:
    """Return ``function(request)``, computed in a child process.

    Args:
        function: Of a module's top level, with annotations; imports what is heavy itself.
        request: Its only argument.
        limits: What the child may use.
        step: Name for errors and for the log.
        on_line: Told every line that the child prints.

    Raises:
        SlipwayError: The one that the function raised.
        StepCrashed: If it raised anything else, or the process ended without a result.
        StepTimedOut: If it was still running at its time limit.
        StepOutOfMemory: If it was ended for memory.
    """
    limits.logs.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix="slipway-"))
    unique = f"{time.strftime('%Y%m%d-%H%M%S')}-{room.name.removeprefix('slipway-')}"
    log = limits.logs / f"{step.replace(' ', '-')}-{unique}.log"
    try:
        (room / "request.json").write_text(request.model_dump_json(), encoding="utf-8")
        address = f"{function.__module__}:{function.__qualname__}"
        command = [sys.executable, "-m", "slipway.system.process", address, str(room)]
        started = time.monotonic()
        status, peak = _watch(command, limits, step, log, on_line)
        return _outcome(function, room, status, time.monotonic() - started, (step, peak, log))
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _watch(
    command: list[str], limits: ProcessLimits, step: str, log: Path, on_line: Callable[[str], None]
) -> tuple[int, int]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=environment(step),
    )
    deadline = time.monotonic() + limits.timeout_seconds
    peak = 0
    try:
        with log.open("w", encoding="utf-8") as file:
            for line in _lines(process):
                peak = max(peak, held_bytes(process.pid))
                if line:
                    file.write(line + "\n")
                    on_line(line)
                if limits.memory_bytes is not None and peak > limits.memory_bytes:
                    raise StepOutOfMemory(step, peak, str(log))
                if time.monotonic() > deadline:
                    raise StepTimedOut(step, limits.timeout_seconds, str(log))
        return process.wait(), peak
    finally:
        _end(process)


def _lines(process: subprocess.Popen[bytes]) -> typing.Iterator[str]:
    """Yield what the process prints until it ends, and an empty text at moments of silence.

    Its output may end before it does, and may be kept open after it by a process that it started.
    """
    assert process.stdout is not None  # noqa: S101 - asked for with PIPE
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            ended = process.poll() is not None
            if not selector.select(0 if ended else _POLL_SECONDS):
                if ended:
                    break
                yield ""
                continue
            block = os.read(process.stdout.fileno(), 1 << 16)
            *lines, rest = (rest + block.replace(b"\r", b"\n")).split(b"\n")
            yield from (line.decode(errors="replace").rstrip() for line in lines)
            if not block:
                break
    yield rest.decode(errors="replace").rstrip()
    while _runs_on(process):
        yield ""


def _runs_on(process: subprocess.Popen[bytes]) -> bool:
    """Wait a moment, and tell whether the process is still running."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_POLL_SECONDS)
    return process.returncode is None


def held_bytes(pid: int) -> int:
    """Return what a process and those that it started hold.

    Of the others only what is theirs alone counts: one that was forked a moment ago still shows the
    memory of its parent beside its own.
    """
    try:
        process = psutil.Process(pid)
        helpers = process.children(recursive=True)
        own = sum(int(helper.memory_full_info().uss) for helper in helpers)
        return int(process.memory_info().rss) + own
    except psutil.Error:
        return 0


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def _outcome(
    function: Callable[[Any], Result],
    room: Path,
    status: int,
    seconds: float,
    seen: tuple[str, int, Path],
) -> Outcome[Result]:
    step, peak, log = seen
    answer = room / "result.json"
    if not answer.is_file():
        if status == -signal.SIGKILL:
            raise StepOutOfMemory(step, peak, str(log))
        raise StepCrashed(step, _last_words(status, log), str(log))
    document = json.loads(answer.read_text(encoding="utf-8"))
    if error := document.get("error"):
        kind = getattr(errors, error["kind"], None)
        values = (tuple(field) if isinstance(field, list) else field for field in error["fields"])
        raise kind(*values) if kind else StepCrashed(step, error["fields"][0], str(log))
    result = TypeAdapter(typing.get_type_hints(function)["return"])
    value = result.validate_python(document["value"], strict=False)
    return Outcome(value, seconds, max(peak, document["peak_memory_bytes"]))


def _last_words(status: int, log: Path) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"exit status {status} without a word"


def main(address: str, room: Path) -> int:
    """Run the child's side: read the request, call the function, write its result."""
    die_with_parent()
    module, name = address.split(":")
    function = getattr(importlib.import_module(module), name)
    hints = typing.get_type_hints(function)
    kind = next(hint for argument, hint in hints.items() if argument != "return")
    document: dict[str, Any]
    try:
        request = kind.model_validate_json((room / "request.json").read_bytes())
        value = TypeAdapter(hints["return"]).dump_python(function(request), mode="json")
        document = {"value": value, "peak_memory_bytes": _peak_memory_bytes()}
    except SlipwayError as error:
        _, fields = error.__reduce__()
        document = {"error": {"kind": type(error).__name__, "fields": fields}}
    except Exception as error:  # noqa: BLE001 - told to the parent, whatever it is
        traceback.print_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        document = {"error": {"kind": "", "fields": [reason]}}
    (room / "result.part").write_text(json.dumps(document), encoding="utf-8")
    (room / "result.part").rename(room / "result.json")
    return 1 if "error" in document else 0


def _peak_memory_bytes() -> int:
    """Return the most that this process held; 0 where the system does not say.

    Not ``ru_maxrss``: on Linux that begins with what the parent held, see getrusage(2).
    """
    status = Path("/proc/self/status")
    text = status.read_text(encoding="utf-8") if status.is_file() else ""
    found = re.search(r"^VmHWM:\s*(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def die_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """Ask Linux to signal this process when its parent dies, so that it is not left behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, how)  # PR_SET_PDEATHSIG, see prctl(2)


if __name__ == "__main__":
    code = main(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.flush()
    os._exit(code)  # native libraries have been seen to crash while they are unloaded
