"""The worker's side of an engine: starts the process, queues requests for it, restarts it.

Nothing here blocks the event loop, and the engine never waits for a client: the deltas of an answer
are collected in its job's memory until they are read or the job is cancelled.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable

from pydantic import ValidationError

from slipway.errors import NotServing
from slipway.serving.protocol import (
    EVENT,
    Cancel,
    End,
    Event,
    Generate,
    Load,
    Loaded,
    LoadFailed,
    TextDelta,
)
from slipway.system import process as processes

#: Time limit for loading a model: less than a worker's health check waits.
LOAD_SECONDS = 570.0
#: Time limit for obeying a cancellation: longer than any native call.
_CANCEL_SECONDS = 60.0
_PAUSES_SECONDS = (0.5, 2.0, 5.0, 15.0)  # between two starts that failed
_LINE_BYTES = 1 << 20

_log = logging.getLogger("uvicorn.error")


class QueueFull(Exception):
    """The limit of waiting requests is reached."""


class Job:
    """One request in the engine's queue, or in the engine."""

    def __init__(self, order: Generate, engine: "Engine") -> None:
        self.order = order
        self.ended = False
        self._engine = engine
        self._events: asyncio.Queue[TextDelta | End | NotServing] = asyncio.Queue()

    def put(self, event: TextDelta | End | NotServing) -> None:
        """Add what the engine reports about the request."""
        self.ended = not isinstance(event, TextDelta)
        self._events.put_nowait(event)

    def cancel(self) -> None:
        """Stop the engine's work on the request; does nothing once it has ended."""
        if not self.ended:
            self._engine.cancel(self)

    async def next_event(self) -> TextDelta | End:
        """Wait for the next event; ``End`` is the last.

        Raises:
            NotServing: If the engine exited.
        """
        event = await self._events.get()
        if isinstance(event, NotServing):
            raise event
        return event


class Engine:
    """One copy of a model in a process of its own.

    Args:
        load: The version to load.
        queue_limit: Requests that may wait while one is answered.
        on_change: Called whenever an attribute changes.

    Attributes:
        pointer: The version to load.
        served: What is loaded; None while nothing is.
        reason: Why nothing is loaded.
        restarts: Number of restarts.
    """

    def __init__(self, load: Load, queue_limit: int, on_change: Callable[[], None]) -> None:
        self.pointer = load.pointer
        self.served: Loaded | None = None
        self.reason = "the model is being loaded"
        self.restarts = 0
        self._load_order = load
        self._queue_limit = queue_limit
        self._on_change = on_change
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._runner: asyncio.Task[None] | None = None
        self._requests = 0

    @property
    def waiting(self) -> int:
        """Number of waiting requests."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._current is not None

    async def start(self) -> None:
        """Load the model; from then on the engine is restarted whenever it exits.

        Raises:
            NotServing: If the model cannot be loaded.
        """
        await self._load()
        self._runner = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End the process and fail the requests in it."""
        if self._runner:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        await self._shut_down("the server is stopping")

    def require(self) -> Loaded:
        """Return what is loaded.

        Raises:
            NotServing: If nothing is.
        """
        if self.served is None:
            raise self._error()
        return self.served

    def submit(self, order: Generate) -> Job:
        """Add a request to the queue and give it an id.

        Raises:
            NotServing: If no model is loaded.
            QueueFull: If too many requests are waiting.
        """
        self.require()
        if self.busy and self.waiting >= self._queue_limit:
            raise QueueFull
        self._requests += 1
        job = Job(order.model_copy(update={"request_id": self._requests}), self)
        self._waiting.append(job)
        self._send_next()
        return job

    def cancel(self, job: Job) -> None:
        """Remove a job from the queue, or stop the engine's work on it at the next token."""
        if job is not self._current:
            with contextlib.suppress(ValueError):
                self._waiting.remove(job)
            self._on_change()
            return
        self._send(Cancel(request_id=job.order.request_id))
        asyncio.get_running_loop().call_later(_CANCEL_SECONDS, self._kill_if_in, job)

    def _kill_if_in(self, job: Job) -> None:
        if job is self._current and self._process:
            _log.error("the engine did not obey a cancellation and is restarted")
            self._process.kill()

    def _send_next(self) -> None:
        if self._current is None and self._waiting:
            self._current = self._waiting.popleft()
            self._send(self._current.order)
        self._on_change()

    def _send(self, order: Load | Generate | Cancel) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.write(order.model_dump_json().encode() + b"\n")

    async def _load(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *processes.command("-m", "slipway.serving.engine_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=processes.environment("engine"),
            limit=_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for the worker, which completes its answers
        )
        self._send(self._load_order)
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                event = await self._event()
        except TimeoutError:
            event = LoadFailed(reason=f"not loaded within {LOAD_SECONDS:.0f} s")
        if not isinstance(event, Loaded):
            exited = "the engine exited while loading"
            await self._shut_down(event.reason if isinstance(event, LoadFailed) else exited)
            raise self._error()
        self.served = event
        self._on_change()

    async def _event(self) -> Event | None:
        """Return the engine's next event; None if it exited or wrote something else."""
        assert self._process is not None  # noqa: S101 - called after it was started
        assert self._process.stdout is not None  # noqa: S101 - requested with PIPE
        try:
            return EVENT.validate_json(await self._process.stdout.readline())
        except (ValidationError, ValueError, OSError):
            return None

    async def _run(self) -> None:
        """Pass events to their jobs, and restart the engine whenever it exits."""
        while True:
            await self._pass_events()
            await self._shut_down("the engine exited and is being restarted")
            failures = 0
            while self.served is None:
                _log.error("%s", self._error())
                await asyncio.sleep(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)])
                self.restarts += 1
                with contextlib.suppress(NotServing):
                    await self._load()
                failures += 1

    async def _pass_events(self) -> None:
        """Pass every event to its job until the engine exits."""
        while (event := await self._event()) is not None:
            job = self._current
            if not isinstance(event, TextDelta | End) or job is None:
                return
            job.put(event)
            if isinstance(event, End):
                self._current = None
                self._send_next()

    async def _shut_down(self, reason: str) -> None:
        """End the process, and fail every request with the reason."""
        self.served, self.reason = None, reason
        if self._process:
            if self._process.returncode is None:
                processes.kill(processes.process_tree(self._process.pid))
            await self._process.wait()
        jobs = [job for job in (self._current, *self._waiting) if job]
        self._current = None
        self._waiting.clear()
        for job in jobs:
            job.put(self._error())
        self._on_change()

    def _error(self) -> NotServing:
        return NotServing(str(self.pointer), self.reason)
