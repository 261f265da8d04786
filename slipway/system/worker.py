"""The child's side of a call: reads a request, calls the function, and sends its answer.

``python -m slipway.system.worker DESCRIPTOR`` reads the request from standard input.
"""

import importlib
import json
import os
import re
import select
import signal
import sys
import traceback
import typing
from pathlib import Path
from typing import BinaryIO

from pydantic import TypeAdapter

from slipway.errors import SlipwayError
from slipway.system import disk
from slipway.system.process import describe, die_with_parent, peak_memory_bytes
from slipway.system.progress import open_channel, send


def answer(document: BinaryIO, channel: int) -> int:
    """Compute a call, send its answer, and return the exit status.

    Args:
        document: The address of a function, a line with the limits that the system enforces, and
            the function's argument.
        channel: Descriptor that takes progress and answer.
    """
    open_channel(channel)
    if _is_orphan(channel):
        return 1
    try:
        module, name = document.readline().decode().strip().split(":")
        hold_to(*json.loads(document.readline()))
        function = getattr(importlib.import_module(module), name)
        hints = typing.get_type_hints(function)
        kind = next(hint for argument, hint in hints.items() if argument != "return")
        value = function(kind.model_validate_json(document.read()))
        json_value = TypeAdapter(hints["return"]).dump_python(value, mode="json")
    except SlipwayError as error:
        _send(error)
        return 1
    except MemoryError:
        traceback.print_exc()
        send({"out_of_memory": peak_memory_bytes()})
        return 1
    except Exception as error:  # noqa: BLE001 - reported to the parent, whatever it is
        traceback.print_exc()
        if failed := disk.failure(error):
            _send(failed)
        else:
            send({"error": {"kind": "", "text": describe(error)}})
        return 1
    send({"value": json_value, "peak_memory_bytes": peak_memory_bytes()})
    return 0


def _send(error: SlipwayError) -> None:
    _, fields = error.__reduce__()
    send({"error": {"kind": type(error).__name__, "fields": fields}})


def _is_orphan(channel: int) -> bool:
    """Return whether the parent ended before this process could ask to end with it."""
    reader = select.poll()
    reader.register(channel, 0)
    return bool(reader.poll(0))  # a pipe without a reader is in error, see poll(2)


def hold_to(seconds: float | None = None, memory_bytes: int | None = None) -> None:
    """Let the system end this process after ``seconds`` and refuse it ``memory_bytes`` more memory.

    No library can catch SIGALRM's default action. RLIMIT_DATA counts what may be written, not the
    libraries themselves, see setrlimit(2).
    """
    if seconds is not None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
    if memory_bytes is not None and sys.platform == "linux":
        import resource

        status = Path("/proc/self/status").read_text(encoding="utf-8")
        (held_kb,) = re.findall(r"^VmData:\s*(\d+) kB", status, re.MULTILINE)
        most = int(held_kb) * 1024 + memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def leave(status: int) -> typing.NoReturn:
    """End this process at once: native libraries have been seen to crash while being unloaded."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    die_with_parent()
    leave(answer(sys.stdin.buffer, int(sys.argv[1])))
