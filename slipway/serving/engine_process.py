"""The engine's side: a process that holds one model and answers requests with its wrapper.

A wrapper with ``scheduler`` answers many requests at a time. One thread takes orders between two
steps, generates, and writes events and signs of life. While it prepares a prompt, which is the code
of a chat template, another thread writes them, if it gets the interpreter's lock. A native call
without an end is therefore a silence.

The wrappers of earlier versions only have ``stream``, and answer one request after the other.
Native calls hold the interpreter's lock. Two other threads run between them: one listens for
cancellations and makes the main thread raise there, the other writes signs of life.
"""

import _thread
import contextlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from slipway.checks.load import load
from slipway.serving import memory, tool_support
from slipway.serving.protocol import (
    ORDER,
    Alive,
    Cancel,
    End,
    Event,
    Generate,
    Load,
    Loaded,
    LoadFailed,
    Order,
    TextDelta,
)
from slipway.system import process

_SEEDS = 2**31  # the runtime takes seeds below this
_SAMPLING = {"max_tokens", "temperature", "top_p", "top_k", "stop"}
#: Wrappers that were logged before them do not take these arguments.
_LATER = ("repetition_penalty", "guidance", "tools")
_ALIVE_SECONDS = 0.5
_WRITING = threading.Lock()


class Cancelled(BaseException):
    """Raised in the main thread; no Exception, so that a wrapper's code cannot swallow it."""


class Refused(Exception):
    """The wrapper refuses a request; ``code`` and ``param`` are OpenAI's.

    Older wrappers do not say which field they refuse.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.code = str(getattr(error, "code", "invalid_value"))
        self.param: str | None = getattr(error, "param", None)

    def end(self) -> dict[str, Any]:
        """Return the fields of the last event."""
        reason = _encodable(str(self))
        return {"outcome": "refused", "reason": reason, "code": self.code, "param": self.param}


class _Unknown(Exception):
    """The wrapper was logged before it knew this argument."""

    code = "unsupported_parameter"

    def __init__(self, param: str) -> None:
        way_out = "release the model again"
        super().__init__(f"{param} is not supported by the wrapper of this version; {way_out}")
        self.param = param


class BatchingProcess:
    """Answers many requests at a time.

    Args:
        model: An ONNX wrapper.
        scheduler: Generates its answers; see the wrapper.
        out: File descriptor that events are written to.
    """

    def __init__(self, model: Any, scheduler: Any, out: int) -> None:
        self._model = model
        self._scheduler = scheduler
        self._out = out
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._open: dict[int, set[int]] = {}  # answers that have not ended, by request
        self._showed_life = 0.0
        self._preparing: int | None = None

    def run(self) -> None:
        """Answer requests until the worker exits."""
        _start_threads(lambda: _listen(self._orders.put), self._show_preparation)
        while True:
            self._take_orders()
            for (request_id, index), outcome in self._scheduler.step():
                if request_id in self._open:
                    self._report(request_id, index, outcome)
            if time.monotonic() > self._showed_life + _ALIVE_SECONDS:
                self._show_life(None)

    def _take_orders(self) -> None:
        """Take what was ordered meanwhile; without work, wait a moment for an order."""
        for order in self._received():
            if isinstance(order, Generate):
                self._begin(order)
            elif order.request_id in self._open:
                self._end(order.request_id, outcome="cancelled")

    def _received(self) -> Iterator[Order]:
        with contextlib.suppress(queue.Empty):
            if not self._scheduler.pending:
                yield self._orders.get(timeout=_ALIVE_SECONDS)
            while True:
                yield self._orders.get_nowait()

    def _show_life(self, request_id: int | None) -> None:
        lanes, rows, tokens = self._scheduler.load
        send(self._out, Alive(request_id=request_id, lanes=lanes, rows=rows, cache_tokens=tokens))
        self._showed_life = time.monotonic()

    def _show_preparation(self) -> None:
        while True:
            if (request_id := self._preparing) is not None:
                self._show_life(request_id)
            time.sleep(_ALIVE_SECONDS)

    def _begin(self, order: Generate) -> None:
        """Give the answers of a request to the scheduler; its chat template may not end."""
        self._open[order.request_id] = set()
        self._preparing = order.request_id
        self._show_life(order.request_id)
        try:
            for index, prompt, sampling in _answers(self._model, order):
                self._scheduler.add((order.request_id, index), prompt, **sampling)
                self._open[order.request_id].add(index)
        except (ValueError, Refused) as error:
            refused = error if isinstance(error, Refused) else Refused(error)
            self._end(order.request_id, **refused.end())
        except Exception as error:  # noqa: BLE001 - every error is reported to the client
            self._fail(order.request_id, error)
        self._preparing = None
        self._show_life(None)

    def _report(self, request_id: int, index: int, outcome: Any) -> None:
        """Write the piece of an answer, or the error that ends its request."""
        if isinstance(outcome, Exception):
            self._fail(request_id, outcome)
            return
        try:
            send(self._out, _delta(request_id, index, outcome))
        except Exception as error:  # noqa: BLE001 - every error is reported to the client
            self._fail(request_id, error)
            return
        if outcome.finish_reason:
            self._open[request_id].discard(index)
            if not self._open[request_id]:
                self._end(request_id, outcome="done")

    def _fail(self, request_id: int, error: Exception) -> None:
        self._end(request_id, outcome="failed", reason=_reason(error))

    def _end(self, request_id: int, **fields: Any) -> None:
        for index in self._open.pop(request_id):
            self._scheduler.cancel((request_id, index))
        send(self._out, End(request_id=request_id, **fields))


class EngineProcess:
    """Answers one request after the other.

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
        _start_threads(lambda: _listen(self._receive), self._show_life)
        while True:
            self._answer(self._orders.get())

    def _show_life(self) -> None:
        while True:
            send(self._out, Alive(request_id=self._current))
            time.sleep(_ALIVE_SECONDS)

    def _receive(self, order: Order) -> None:
        if isinstance(order, Cancel):
            self._cancelled = order.request_id
            _thread.interrupt_main(signal.SIGUSR1)
        else:
            self._orders.put(order)

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
        except Refused as error:
            end = End(request_id=order.request_id, **error.end())
        except Exception as error:  # noqa: BLE001 - every error is reported to the client
            end = End(request_id=order.request_id, outcome="failed", reason=_reason(error))
        self._current = None
        send(self._out, end)

    def _deltas(self, order: Generate) -> Iterator[TextDelta]:
        for index, prompt, sampling in _answers(self._model, order):
            try:
                pieces = iter(self._model.stream(prompt, **sampling))
            except ValueError as error:  # the wrapper refuses at once; a later one is its fault
                raise Refused(error) from error
            while piece := self._next(pieces):
                yield _delta(order.request_id, index, piece)

    def _next(self, pieces: Iterator[Any]) -> Any:
        """Return the next piece, None after the last; a cancellation is raised only here."""
        self._interruptible = True
        try:
            self._interrupt()  # it may have arrived while an event was written
            return next(pieces, None)
        finally:
            self._interruptible = False


def _answers(model: Any, order: Generate) -> Iterator[tuple[int, Any, dict[str, Any]]]:
    """Yield index, prompt and sampling of each answer of a request."""
    sampling = order.model_dump(include=_SAMPLING) | _later(model, order)
    for index in range(len(order.prompts) * order.n):
        number, turn = divmod(index, order.n)
        seed = None if order.seed is None else (order.seed + turn) % _SEEDS
        prompt = order.prompts[number]
        text = prompt if isinstance(prompt, str) else [*prompt]
        yield index, text, sampling | {"seed": seed}


def _later(model: Any, order: Generate) -> dict[str, Any]:
    """Return the arguments that not every wrapper takes; those that are None are none."""
    given = {field: value for field in _LATER if (value := getattr(order, field)) is not None}
    for field in given:
        if not hasattr(model.defaults, field):
            raise Refused(_Unknown(field))
    return given


def _delta(request_id: int, index: int, piece: Any) -> TextDelta:
    return TextDelta(
        request_id=request_id,
        index=index,
        text=piece.text,
        finish_reason=piece.finish_reason,
        prompt_tokens=piece.prompt_tokens,
        completion_tokens=piece.completion_tokens,
    )


def _start_threads(*works: Callable[[], None]) -> None:
    """Do each of ``works`` beside the main thread; when one ends or fails, the process ends.

    The worker restarts it then.
    """

    def until_the_process_ends(work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            os._exit(0)

    for work in works:
        threading.Thread(target=until_the_process_ends, args=(work,), daemon=True).start()


def _listen(receive: Callable[[Order], None]) -> None:
    for line in sys.stdin.buffer:
        receive(ORDER.validate_json(line))


def send(out: int, event: Event) -> None:
    """Write one whole line; two threads do."""
    line = event.model_dump_json().encode() + b"\n"
    with _WRITING:
        while line:
            line = line[os.write(out, line) :]


def main() -> int:
    """Load the copy that the first line names, report that, and answer requests."""
    process.die_with_parent()
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints is not an event
    import mlflow.pyfunc  # noqa: F401 - takes seconds, while the worker verifies the files

    order = Load.model_validate_json(sys.stdin.buffer.readline())
    try:
        loaded, answering = _load(order, out)
    except Exception as error:  # noqa: BLE001 - every error is reported to the worker
        send(out, LoadFailed(reason=f"the model cannot be loaded: {_reason(error)}"))
        return 1
    send(out, loaded)
    answering.run()
    return 0


def _load(order: Load, out: int) -> tuple[Loaded, BatchingProcess | EngineProcess]:
    """Load a model; its wrapper decides how requests are answered."""
    model = load(order.files.folder).unwrap_python_model()
    artifact = order.files.folder / "artifacts" / "model"
    limit = order.memory_bytes or memory.limit_bytes(artifact)
    loaded = Loaded(
        digest=order.files.digest,
        max_tokens=model.defaults.max_tokens,
        memory_bytes=limit,
        tools=tool_support.of(model),
    )
    if getattr(model, "scheduler", None) is None:
        return loaded, EngineProcess(model, out)
    held = psutil.Process().memory_info().rss
    tokens = memory.cache_tokens(artifact, limit, held)
    batching = BatchingProcess(model, model.scheduler(order.rows, tokens), out)
    return loaded.model_copy(update={"rows": order.rows, "cache_tokens": tokens}), batching


def _reason(error: Exception) -> str:
    """Return an error in one short line; its traceback goes to the log."""
    traceback.print_exception(error)
    return _encodable(process.describe(error))


def _encodable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


if __name__ == "__main__":
    sys.exit(main())
