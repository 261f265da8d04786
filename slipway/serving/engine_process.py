"""The engine's side: a process that holds one model and answers one request after the other.

Native calls hold the interpreter's lock, so nothing else runs here but a thread that listens for
cancellations. It gets its turn between two native calls, which are one token long, or one slice of
a long prompt; and lets the main thread raise there.
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

from pydantic import BaseModel

from slipway.errors import SlipwayError
from slipway.serving import loading
from slipway.serving.protocol import (
    ORDER,
    Ask,
    Cancel,
    ConversationMessage,
    End,
    Load,
    LoadFailed,
    TextDelta,
)
from slipway.system import process

_SEEDS = 2**31  # the runtime takes this many


class Cancelled(BaseException):
    """Raised in the main thread; not an Exception, so that no code of a model can swallow it."""


class EngineProcess:
    """Answers requests with one model.

    Args:
        model: Offers ``stream``, as the ONNX wrapper does.
        out: Descriptor that takes the lines.
    """

    def __init__(self, model: Any, out: int) -> None:
        self._model = model
        self._out = out
        self._asked: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        self._current: int | None = None
        self._cancelled: int | None = None
        self._interruptible = False

    def run(self) -> None:
        """Answer until the worker is gone."""
        signal.signal(signal.SIGUSR1, self._interrupt)
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            self._answer(self._asked.get())

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            order = ORDER.validate_json(line)
            if isinstance(order, Cancel):
                self._cancelled = order.request_id
                _thread.interrupt_main(signal.SIGUSR1)
            else:
                self._asked.put(order)
        os._exit(0)  # the worker closed its end

    def _interrupt(self, *_: object) -> None:
        if self._interruptible and self._cancelled == self._current:
            raise Cancelled

    def _answer(self, ask: Ask) -> None:
        self._current = ask.request_id
        outcome, reason = "done", ""
        try:
            for part in self._parts(ask):
                send(self._out, part)
        except Cancelled:
            outcome = "cancelled"
        except ValueError as error:
            outcome, reason = "refused", str(error)
        except Exception as error:  # noqa: BLE001 - told to the client, whatever it is
            traceback.print_exc()
            outcome, reason = "failed", " ".join(f"{type(error).__name__}: {error}".split())[:300]
        self._current = None
        send(self._out, End(request_id=ask.request_id, outcome=outcome, reason=reason))

    def _parts(self, ask: Ask) -> Iterator[TextDelta]:
        sampling = ask.model_dump(include={"max_tokens", "temperature", "top_p", "stop"})
        for index in range(len(ask.prompts) * ask.n):
            asked, turn = divmod(index, ask.n)
            seed = None if ask.seed is None else (ask.seed + turn) % _SEEDS
            pieces = iter(self._open(ask.prompts[asked], sampling | {"seed": seed}))
            while piece := self._next(pieces):
                yield TextDelta(
                    request_id=ask.request_id,
                    index=index,
                    text=piece.text,
                    finish_reason=piece.finish_reason,
                    prompt_tokens=piece.prompt_tokens,
                    completion_tokens=piece.completion_tokens,
                )

    def _open(self, prompt: str | tuple[ConversationMessage, ...], sampling: dict[str, Any]) -> Any:
        if isinstance(prompt, str):
            return self._model.stream(prompt, **sampling)
        return self._model.stream([message.model_dump() for message in prompt], **sampling)

    def _next(self, pieces: Iterator[Any]) -> Any:
        """Return the next piece, None after the last; only here a cancellation may be raised."""
        self._interruptible = True
        try:
            self._interrupt()  # it may have come while a line was sent
            return next(pieces, None)
        finally:
            self._interruptible = False


def send(out: int, event: BaseModel) -> None:
    """Write one line, as a whole."""
    line = event.model_dump_json().encode() + b"\n"
    while line:
        line = line[os.write(out, line) :]


def main() -> int:
    """Load what the first line names, say so, and answer."""
    process.die_with_parent()
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no line of ours
    request = Load.model_validate_json(sys.stdin.buffer.readline())
    try:
        model, served = loading.load(request)
    except SlipwayError as error:
        send(out, LoadFailed(reason=str(error)))
        return 1
    except Exception as error:  # noqa: BLE001 - told to the worker, whatever it is
        traceback.print_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        send(out, LoadFailed(reason=f"it cannot be loaded: {reason}"))
        return 1
    send(out, served)
    EngineProcess(model, out).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
