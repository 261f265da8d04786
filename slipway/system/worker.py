"""The child's side of a call: reads a request, calls the function, and sends its answer.

``python -m slipway.system.worker DESCRIPTOR`` reads the request from standard input.
"""

import importlib
import os
import sys
import traceback
import typing
from typing import BinaryIO

from pydantic import TypeAdapter

from slipway.errors import SlipwayError
from slipway.system.process import describe, die_with_parent, peak_memory_bytes
from slipway.system.progress import open_channel, send


def answer(document: BinaryIO, channel: int) -> int:
    """Compute a call, send its answer, and return the exit status.

    Args:
        document: The address of a function in its first line, and its argument in the rest.
        channel: Descriptor that takes progress and answer.
    """
    open_channel(channel)
    try:
        module, name = document.readline().decode().strip().split(":")
        function = getattr(importlib.import_module(module), name)
        hints = typing.get_type_hints(function)
        kind = next(hint for argument, hint in hints.items() if argument != "return")
        value = function(kind.model_validate_json(document.read()))
        json_value = TypeAdapter(hints["return"]).dump_python(value, mode="json")
    except SlipwayError as error:
        _, fields = error.__reduce__()
        send({"error": {"kind": type(error).__name__, "fields": fields}})
        return 1
    except Exception as error:  # noqa: BLE001 - reported to the parent, whatever it is
        traceback.print_exc()
        send({"error": {"kind": "", "text": describe(error)}})
        return 1
    send({"value": json_value, "peak_memory_bytes": peak_memory_bytes()})
    return 0


def leave(status: int) -> typing.NoReturn:
    """End this process at once: native libraries have been seen to crash while being unloaded."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    die_with_parent()
    leave(answer(sys.stdin.buffer, int(sys.argv[1])))
