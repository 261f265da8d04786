"""The worker's side of an engine: starts the process, queues requests for it, restarts it.

Nothing here blocks the event loop, and the engine never waits for a client: the deltas of an answer
are collected in its job's memory until they are read, or the request's time is over, whether or not
anybody reads them. An engine that shows no life, or holds too much memory, is ended.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from pydantic import ValidationError

from slipway.errors import NotServing, SlipwayError
from slipway.serving.loading import Source
from slipway.serving.protocol import (
    EVENT,
    Alive,
    Cancel,
    End,
    Event,
    Generate,
    Load,
    Loaded,
    LoadFailed,
    Pointer,
    TextDelta,
)
from slipway.settings import PROJECT
from slipway.system import process as processes

#: Time limit for loading a model: less than a worker's health check waits.
LOAD_SECONDS = 570.0
_PAUSES_SECONDS = (0.5, 2.0, 5.0, 15.0)  # between two starts that failed
_LINE_BYTES = 1 << 20
_WATCH_SECONDS = 0.2
_NO_LOAD = Alive(request_id=None)

_log = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class EngineLimits:
    """What requests to one engine may cost.

    Attributes:
        rows: Answers that are generated at the same time, if the version's wrapper can.
        queue: Requests that may wait.
        max_tokens: Of one answer.
        request_seconds: Includes the wait in the queue, and holds whether or not a client reads.
        silence_seconds: Time without a sign of life after which the engine is ended.
        memory_bytes: Of the engine's process; None for what its model needs.
    """

    rows: int
    queue: int
    max_tokens: int
    request_seconds: float
    silence_seconds: float
    memory_bytes: int | None


class QueueFull(Exception):
    """The limit of waiting requests is reached."""


class Job:
    """One request in the queue, or in the engine."""

    def __init__(self, order: Generate, engine: "Engine", seconds: float) -> None:
        self.order = order
        self.line = _line(order)
        self.ended = False
        self.cancelled = False
        self._engine = engine
        self._events: asyncio.Queue[TextDelta | End | Exception] = asyncio.Queue()
        self._expiry = asyncio.get_running_loop().call_later(seconds, self._expire)

    def put(self, event: TextDelta | End | Exception) -> None:
        """Add what becomes of the request; after its end nothing is added."""
        if self.ended:
            return
        self._events.put_nowait(event)
        if not isinstance(event, TextDelta):
            self.ended = True
            self._expiry.cancel()

    def cancel(self) -> None:
        """Stop the engine's work on the request; does nothing once it has ended."""
        if not self.ended and not self.cancelled:
            self.cancelled = True
            self._engine.cancel(self)

    async def next_event(self) -> TextDelta | End:
        """Wait for the next event; ``End`` is the last.

        Raises:
            NotServing: If the engine exited.
            TimeoutError: If the request's time is over.
        """
        event = await self._events.get()
        if isinstance(event, Exception):
            raise event
        return event

    def _expire(self) -> None:
        self.cancel()
        self.put(TimeoutError())


class Engine:
    """One copy of a model in a process of its own.

    Args:
        pointer: The version to load.
        source: Returns its verified copy, anew for each start.
        limits: Of its requests.
        on_change: Called whenever an attribute changes.

    Attributes:
        served: What is loaded; None while nothing is.
        reason: Why nothing is loaded.
        restarts: Number of restarts.
        cancelled: Number of requests whose client left or whose time ran out.
        alive: The engine's last sign of life.
    """

    def __init__(
        self,
        pointer: Pointer,
        source: Source,
        limits: EngineLimits,
        on_change: Callable[[], None],
    ) -> None:
        self.pointer = pointer
        self.served: Loaded | None = None
        self.reason = "the model is being loaded"
        self.restarts = 0
        self.cancelled = 0
        self.alive = _NO_LOAD
        self._source = source
        self._limits = limits
        self._on_change = on_change
        self._silent_seconds = 0.0
        self._waiting: deque[Job] = deque()
        self._inside: dict[int, Job] = {}  # the engine, by request id
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._requests = 0

    @property
    def waiting(self) -> int:
        """Number of waiting requests."""
        return len(self._waiting)

    @property
    def inside(self) -> int:
        """Number of requests that are being answered."""
        return len(self._inside)

    @property
    def full(self) -> bool:
        """Whether the engine takes no further request now."""
        return self.inside >= (self.served.rows if self.served else 1)

    async def start(self) -> None:
        """Load the model; from then on the engine is restarted whenever it exits.

        Raises:
            NotServing: If the model cannot be loaded.
        """
        await self._load()
        self._tasks = [asyncio.create_task(each()) for each in (self._run, self._watch)]

    async def stop(self) -> None:
        """End the process and fail the requests in it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._shut_down("the server is stopping")

    def require(self) -> Loaded:
        """Return what is loaded.

        Raises:
            NotServing: If nothing is.
        """
        if self.served is None:
            raise self._error()
        return self.served

    def require_life(self) -> Loaded:
        """Return what is loaded.

        Raises:
            NotServing: If nothing is, or the engine has been silent for half of the limit.
        """
        if self._silent_seconds > self._limits.silence_seconds / 2:
            reason = f"the engine has shown no sign of life for {self._silent_seconds:.0f} s"
            raise NotServing(str(self.pointer), reason)
        return self.require()

    def submit(self, order: Generate) -> Job:
        """Add a request to the queue and give it an id.

        Raises:
            NotServing: If no model is loaded.
            QueueFull: If too many requests are waiting.
        """
        self.require()
        if self.full and self.waiting >= self._limits.queue:
            raise QueueFull
        self._requests += 1
        numbered = order.model_copy(update={"request_id": self._requests})
        job = Job(numbered, self, self._limits.request_seconds)  # may raise, so nothing has changed
        self._waiting.append(job)
        self._send_next()
        return job

    def cancel(self, job: Job) -> None:
        """Remove a job from the queue, or stop the engine's work on it at the next token."""
        self.cancelled += 1
        if job.order.request_id in self._inside:
            self._write(_line(Cancel(request_id=job.order.request_id)))
        else:
            with contextlib.suppress(ValueError):
                self._waiting.remove(job)
        self._on_change()

    def _send_next(self) -> None:
        while self._waiting and not self.full:
            job = self._waiting.popleft()
            self._inside[job.order.request_id] = job
            self._write(job.line)
        self._on_change()

    def _write(self, line: bytes) -> None:
        """Write to the engine; that its pipe is closed is noticed where its events are read."""
        if self._process and self._process.stdin:
            with contextlib.suppress(OSError, RuntimeError):
                self._process.stdin.write(line)

    async def _load(self) -> None:
        try:
            await self._spawn()
            async with asyncio.timeout(LOAD_SECONDS):
                self._write(_line(self._with_limits(await self._source())))
                event = await self._event()
        except TimeoutError:
            event = LoadFailed(reason=f"not loaded within {LOAD_SECONDS:.0f} s")
        except SlipwayError as error:
            named = f"{self.pointer}: "  # as this engine's own error names it
            event = LoadFailed(reason=error.brief.removeprefix(named))
        except (OSError, RuntimeError) as error:  # no memory for a process or thread, a full disk
            event = LoadFailed(reason=processes.describe(error))
        if not isinstance(event, Loaded):
            exited = "the engine exited while loading"
            await self._shut_down(event.reason if isinstance(event, LoadFailed) else exited)
            raise self._error()
        self.served, self._silent_seconds, self.alive = event, 0.0, _NO_LOAD
        self._on_change()

    async def _spawn(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *processes.command("-m", "slipway.serving.engine_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=processes.environment("engine"),
            cwd=PROJECT,
            limit=_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for the worker, which completes its answers
        )

    def _with_limits(self, order: Load) -> Load:
        limits = {"rows": self._limits.rows, "memory_bytes": self._limits.memory_bytes}
        return order.model_copy(update=limits)

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
            try:
                await self._pass_events()
            except Exception:  # noqa: BLE001 - a defect must not leave requests without an end
                _log.exception("internal error; the engine is restarted")
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
            if not isinstance(event, Alive | TextDelta | End):
                return
            self._note_life(event)
            if isinstance(event, Alive):
                self.alive = event
                self._on_change()
                continue
            job = self._inside.get(event.request_id)
            if job is None:
                return
            job.put(event)
            if isinstance(event, End):
                del self._inside[event.request_id]
                self._send_next()

    def _note_life(self, event: Alive | TextDelta | End) -> None:
        """Reset the clock of the watchdog; of a cancelled request only the end is awaited."""
        cancelled = any(job.cancelled for job in self._inside.values())
        if not cancelled or isinstance(event, End):
            self._silent_seconds = 0.0

    async def _watch(self) -> None:
        """End the engine if it is silent for too long or holds too much memory.

        The time is counted in steps, so that a worker that was itself stopped for a while first
        reads what the engine wrote meanwhile.
        """
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if self.served is None:
                continue
            self._silent_seconds += _WATCH_SECONDS
            limit = self.served.memory_bytes
            if self._silent_seconds > self._limits.silence_seconds:
                self._end(f"showed no sign of life for {self._limits.silence_seconds:g} s")
            elif self._held_bytes() > limit:
                self._end(f"took more than {limit / 1e9:.1f} GB of memory")

    def _held_bytes(self) -> int:
        """Return the memory of the engine's process; 0 once it has exited."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss) if self._process else 0
        except psutil.Error:
            return 0

    def _end(self, fault: str) -> None:
        """Kill the process; ``_run`` restarts it.

        A request that was alone in it, or being prepared, is to blame, and told so. Of several it
        is not known which is, and all may try again.
        """
        _log.error("%s: the engine %s and was ended", self.pointer, fault)
        self.served, self.reason = None, f"the engine {fault} and is being restarted"
        if job := self._to_blame():
            reason = f"with this request the engine {fault} and was ended; change the request"
            job.put(End(request_id=job.order.request_id, outcome="failed", reason=reason))
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _to_blame(self) -> Job | None:
        alone = [*self._inside.values()] if self.inside == 1 else []
        worked_on = [job for key, job in self._inside.items() if key == self.alive.request_id]
        return next(iter(worked_on or alone), None)

    async def _shut_down(self, reason: str) -> None:
        """End the process, and fail every request with the reason."""
        self.served, self.reason, self.alive = None, reason, _NO_LOAD
        if self._process:
            if self._process.returncode is None:
                processes.kill(processes.process_tree(self._process.pid))
            await self._process.wait()
        jobs = [*self._inside.values(), *self._waiting]
        self._inside.clear()
        self._waiting.clear()
        for job in jobs:
            job.put(self._error())
        self._on_change()

    def _error(self) -> NotServing:
        return NotServing(str(self.pointer), self.reason)


def _line(order: Load | Generate | Cancel) -> bytes:
    return order.model_dump_json().encode() + b"\n"
