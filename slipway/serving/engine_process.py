"""The engine's side: a process that holds one model and answers one request after the other.

Native calls hold the interpreter's lock. The only other thread listens for cancellations. It runs
between two native calls, which take one token or one slice of a long prompt, and makes the main
thread raise there.
"""

import _thread
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

from slipway.errors import SlipwayError
from slipway.serving import loading
from slipway.serving.protocol import (
    ORDER,
    Cancel,
    End,
    Event,
    Generate,
    Load,
    LoadFailed,
    TextDelta,
)
from slipway.system import process

_SEEDS = 2**31  # the runtime takes seeds below this


class Cancelled(BaseException):
    """Raised in the main thread; no Exception, so that a wrapper's code cannot swallow it."""


class EngineProcess:
    """Answers requests with one model.

    Args:
        model: Has ``stream``, as the ONNX wrapper does.
        out: File descriptor that events are written to.
    """

    def __init__(self, model: Any, out: int) -> None:
        self._model = model
        self._out = out
        self._orders: queue.SimpleQueue[Generate] = queue.SimpleQueue()
        self._current: int | None = None
        self._cancelled: int | None = None
        self._interruptible = False

    def run(self) -> None:
        """Answer requests until the worker exits."""
        signal.signal(signal.SIGUSR1, self._interrupt)
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            self._answer(self._orders.get())

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            order = ORDER.validate_json(line)
            if isinstance(order, Cancel):
                self._cancelled = order.request_id
                _thread.interrupt_main(signal.SIGUSR1)
            else:
                self._orders.put(order)
        os._exit(0)  # the worker closed the pipe

    def _interrupt(self, *_: object) -> None:
        if self._interruptible and self._cancelled == self._current:
            raise Cancelled

    def _answer(self, order: Generate) -> None:
        self._current = order.request_id
        end = End(request_id=order.request_id, outcome="done")
        try:
            for delta in self._deltas(order):
                send(self._out, delta)
        except Cancelled:
            end = End(request_id=order.request_id, outcome="cancelled")
        except ValueError as error:
            end = End(request_id=order.request_id, outcome="refused", reason=str(error))
        except Exception as error:  # noqa: BLE001 - every error is reported to the client
            end = End(request_id=order.request_id, outcome="failed", reason=_reason(error))
        self._current = None
        send(self._out, end)

    def _deltas(self, order: Generate) -> Iterator[TextDelta]:
        sampling = order.model_dump(include={"max_tokens", "temperature", "top_p", "stop"})
        for index in range(len(order.prompts) * order.n):
            number, turn = divmod(index, order.n)
            seed = None if order.seed is None else (order.seed + turn) % _SEEDS
            prompt = order.prompts[number]
            text = prompt if isinstance(prompt, str) else [each.model_dump() for each in prompt]
            pieces = iter(self._model.stream(text, **sampling, seed=seed))
            while piece := self._next(pieces):
                yield TextDelta(
                    request_id=order.request_id,
                    index=index,
                    text=piece.text,
                    finish_reason=piece.finish_reason,
                    prompt_tokens=piece.prompt_tokens,
                    completion_tokens=piece.completion_tokens,
                )

    def _next(self, pieces: Iterator[Any]) -> Any:
        """Return the next piece, None after the last; a cancellation is raised only here."""
        self._interruptible = True
        try:
            self._interrupt()  # it may have arrived while an event was written
            return next(pieces, None)
        finally:
            self._interruptible = False


def send(out: int, event: Event) -> None:
    """Write one whole line."""
    line = event.model_dump_json().encode() + b"\n"
    while line:
        line = line[os.write(out, line) :]


def main() -> int:
    """Load the version that the first line names, report that, and answer requests."""
    process.die_with_parent()
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints is not an event
    request = Load.model_validate_json(sys.stdin.buffer.readline())
    try:
        model, loaded = loading.load(request)
    except SlipwayError as error:
        send(out, LoadFailed(reason=str(error)))
        return 1
    except Exception as error:  # noqa: BLE001 - every error is reported to the worker
        send(out, LoadFailed(reason=f"the model cannot be loaded: {_reason(error)}"))
        return 1
    send(out, loaded)
    EngineProcess(model, out).run()
    return 0


def _reason(error: Exception) -> str:
    """Return an error in one short line; its traceback goes to the log."""
    traceback.print_exception(error)
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


if __name__ == "__main__":
    sys.exit(main())
