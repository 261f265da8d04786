"""The worker's side of an engine: starts it, queues requests for it, starts it again if it dies.

Nothing here blocks the event loop, and nothing waits for a client: an engine writes an answer as
fast as it can, into the memory of the job, unless the job is cancelled.
"""

import asyncio
import contextlib
import logging
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable

from pydantic import ValidationError

from slipway.errors import NotServing
from slipway.serving.protocol import EVENT, Ask, Cancel, End, Load, Loaded, LoadFailed, TextDelta
from slipway.system import process as process_module

#: Longest that an engine may take to load its model: less than a worker's health check waits.
LOAD_SECONDS = 570.0
#: Longest that an engine may take to heed a cancellation: one native call, be it a long one.
_CANCEL_SECONDS = 60.0
_PAUSES_SECONDS = (0.5, 2.0, 5.0, 15.0)  # between two starts that failed
_LINE_BYTES = 1 << 20

_log = logging.getLogger("uvicorn.error")


class QueueFull(Exception):
    """As many requests wait as may wait."""


class Job:
    """A request on its way through the engine.

    Args:
        ask: The request.
        engine: Works on it, or will.
    """

    def __init__(self, ask: Ask, engine: "Engine") -> None:
        self.ask = ask
        self.ended = False
        self._engine = engine
        self._events: asyncio.Queue[TextDelta | End | NotServing] = asyncio.Queue()

    def put(self, event: TextDelta | End | NotServing) -> None:
        """Take what the engine says about the request."""
        self.ended = not isinstance(event, TextDelta)
        self._events.put_nowait(event)

    def cancel(self) -> None:
        """Tell the engine that nobody waits; this may be said at any time, and twice."""
        if not self.ended:
            self._engine.cancel(self)

    async def parts(self) -> AsyncIterator[TextDelta | End]:
        """Yield what the engine says, its ``End`` last.

        Raises:
            NotServing: If the engine died.
        """
        while True:
            event = await self._events.get()
            if isinstance(event, NotServing):
                raise event
            yield event
            if isinstance(event, End):
                return


class Engine:
    """One copy of a model in a process of its own.

    Args:
        load: Which version it loads, and from where.
        queue_limit: Requests that may wait while one is answered.
        on_change: Called whenever what the attributes say has changed.

    Attributes:
        pointer: Which version it loads.
        served: What is loaded; None while nothing is.
        reason: Why nothing is.
        restarts: How often it was started again.
    """

    def __init__(self, load: Load, queue_limit: int, on_change: Callable[[], None]) -> None:
        self.pointer = load.pointer
        self._load_order = load
        self.served: Loaded | None = None
        self.reason = "its model is being loaded"
        self.restarts = 0
        self._queue_limit = queue_limit
        self._on_change = on_change
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._asked = 0

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._current is not None

    async def start(self) -> None:
        """Load the model, and keep it loaded from then on.

        Raises:
            NotServing: If it cannot be loaded.
        """
        await self._load()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End the process; requests in it are told so."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._down("the server stops")

    def require(self) -> Loaded:
        """Return what is loaded.

        Raises:
            NotServing: If nothing is.
        """
        if self.served is None:
            raise self._error()
        return self.served

    def submit(self, ask: Ask) -> Job:
        """Put a request into the queue.

        Args:
            ask: The request; it is given an id of its own.

        Raises:
            NotServing: If no model is loaded.
            QueueFull: If too many wait already.
        """
        self.require()
        if self.busy and self.waiting >= self._queue_limit:
            raise QueueFull
        self._asked += 1
        job = Job(ask.model_copy(update={"request_id": self._asked}), self)
        self._waiting.append(job)
        self._next()
        return job

    def cancel(self, job: Job) -> None:
        """Take a job out of the queue, or out of the engine between two tokens."""
        if job is not self._current:
            with contextlib.suppress(ValueError):
                self._waiting.remove(job)
            self._on_change()
            return
        self._send(Cancel(request_id=job.ask.request_id))
        asyncio.get_running_loop().call_later(_CANCEL_SECONDS, self._kill_if_in, job)

    def _kill_if_in(self, job: Job) -> None:
        if job is self._current and self._process:
            _log.error("the engine did not heed a cancellation; it is started again")
            self._process.kill()

    def _next(self) -> None:
        if self._current is None and self._waiting:
            self._current = self._waiting.popleft()
            self._send(self._current.ask)
        self._on_change()

    def _send(self, order: Ask | Cancel) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.write(order.model_dump_json().encode() + b"\n")

    async def _load(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "slipway.serving.engine_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=process_module.environment("engine"),
            limit=_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for the worker, which lets answers end
        )
        event = await self._first_event(self._process)
        if not isinstance(event, Loaded):
            await self._down(event.reason if isinstance(event, LoadFailed) else "its loading died")
            raise self._error()
        self.served = event
        self._on_change()

    async def _first_event(
        self, process: asyncio.subprocess.Process
    ) -> Loaded | LoadFailed | TextDelta | End | None:
        assert process.stdin is not None  # noqa: S101 - asked for with PIPE
        process.stdin.write(self._load_order.model_dump_json().encode() + b"\n")
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                return await self._event()
        except TimeoutError:
            return LoadFailed(reason=f"it was not loaded within {LOAD_SECONDS:.0f} s")

    async def _event(self) -> Loaded | LoadFailed | TextDelta | End | None:
        """Return what the engine says next; None if it died, or talks nonsense."""
        assert self._process is not None  # noqa: S101 - called after it was started
        assert self._process.stdout is not None  # noqa: S101 - asked for with PIPE
        try:
            return EVENT.validate_json(await self._process.stdout.readline())
        except (ValidationError, ValueError, OSError):
            return None

    async def _keep(self) -> None:
        failures = 0
        while True:
            await self._hand_out()
            await self._down("its engine died and is being started again")
            while self.served is None:
                _log.error("%s", self._error())
                await asyncio.sleep(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)])
                self.restarts += 1
                with contextlib.suppress(NotServing):
                    await self._load()
                failures += 1
            failures = 0

    async def _hand_out(self) -> None:
        """Give every part to its job, until the engine dies."""
        while (event := await self._event()) is not None:
            job = self._current
            if not isinstance(event, TextDelta | End) or job is None:
                return
            job.put(event)
            if isinstance(event, End):
                self._current = None
                self._next()

    async def _down(self, reason: str) -> None:
        """End the process, and tell every request why it is not answered."""
        self.served, self.reason = None, reason
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        jobs = [job for job in (self._current, *self._waiting) if job]
        self._current = None
        self._waiting.clear()
        for job in jobs:
            job.put(self._error())
        self._on_change()

    def _error(self) -> NotServing:
        return NotServing(str(self.pointer), self.reason)
