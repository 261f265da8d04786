"""Both sides of an engine, without a model: nothing that a request holds stops the next one."""

import asyncio
import errno
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic_core import PydanticSerializationError

from slipway.serving import engine as engine_module
from slipway.serving.engine import Engine, EngineLimits
from slipway.serving.engine_process import EngineProcess
from slipway.serving.protocol import EVENT, Event, Generate, Load, Loaded, Pointer
from slipway.system import process as processes
from slipway.tracking.verified_copy import VerifiedCopy

HALF = "Ahoy \ud83c"
LIMITS = EngineLimits(
    rows=1, queue=4, max_tokens=8, request_seconds=0.1, silence_seconds=9, memory_bytes=None
)


async def nothing() -> Load:
    """Return a copy that is never loaded."""
    return Load(files=VerifiedCopy(folder=Path("copy"), digest="ab"))


def with_engine(check: Callable[[Engine], Awaitable[None]]) -> None:
    """Call ``check`` with an engine that has loaded a model and whose process says nothing."""

    async def run() -> None:
        engine = Engine(Pointer(model="tiny", version=1), nothing, LIMITS, lambda: None)
        engine.served = Loaded(digest="ab", max_tokens=8, memory_bytes=1)
        await check(engine)

    asyncio.run(run())


def order(text: str = "Sail!") -> Generate:
    """Return a request."""
    return Generate(request_id=0, prompts=(text,))


def test_a_request_that_cannot_be_written_changes_nothing() -> None:
    """It raises before it takes its turn, so the next one gets it."""

    async def check(engine: Engine) -> None:
        with pytest.raises(PydanticSerializationError):
            engine.submit(order(HALF))
        assert (engine.inside, engine.waiting) == (0, 0)
        engine.submit(order())
        assert (engine.inside, engine.waiting) == (1, 0)

    with_engine(check)


def test_a_requests_time_is_over_whether_or_not_anybody_reads() -> None:
    """In the engine and in the queue: the engine is told, and the reader finds the error."""

    async def check(engine: Engine) -> None:
        inside, waiting = engine.submit(order()), engine.submit(order())
        await asyncio.sleep(0.3)
        assert (engine.cancelled, engine.waiting) == (2, 0)
        for job in (inside, waiting):
            with pytest.raises(TimeoutError):
                await job.next_event()

    with_engine(check)


def test_an_engine_is_started_again_once_the_machine_can(
    monkeypatch: pytest.MonkeyPatch, server_log: pytest.LogCaptureFixture
) -> None:
    """It may have no memory for a process, or no space for a copy; no process stays without use."""
    loaded = Loaded(digest="ab", max_tokens=8, memory_bytes=10**12).model_dump_json()
    program = f"input(); print({loaded!r}, flush=True); input()"
    poor = OSError(errno.ENOMEM, "Cannot allocate memory")
    full, busy = OSError(errno.ENOSPC, "No space left"), RuntimeError("can't start new thread")
    machine = FaultyMachine(starts=[None, poor], copies=[None, full, busy])
    monkeypatch.setattr(asyncio, "create_subprocess_exec", machine.spawn)
    monkeypatch.setattr(processes, "command", lambda *_: [sys.executable, "-c", program])
    monkeypatch.setattr(engine_module, "_PAUSES_SECONDS", (0.01,))

    async def run() -> None:
        engine = Engine(Pointer(model="tiny", version=1), machine.source, LIMITS, lambda: None)
        await engine.start()
        first, *_ = machine.started
        first.kill()
        async with asyncio.timeout(20):
            while engine.restarts < 4 or engine.served is None:  # noqa: ASYNC110 - an engine has attributes
                await asyncio.sleep(0.01)
        running = [each for each in machine.started if each.returncode is None]
        await engine.stop()
        assert (len(machine.started), running) == (4, machine.started[3:])

    asyncio.run(run())
    for error in (poor, full, busy):
        assert f"tiny v1 is not being served: {type(error).__name__}: {error}" in server_log.text


class FaultyMachine:
    """Fails some starts of processes and some copies: those with an error in the list."""

    def __init__(self, starts: list[Exception | None], copies: list[Exception | None]) -> None:
        self.started: list[asyncio.subprocess.Process] = []
        self._starts, self._copies = starts, copies
        self._spawn = asyncio.create_subprocess_exec

    async def spawn(self, *command: str, **options: Any) -> asyncio.subprocess.Process:
        """Start a process."""
        self._raise_next(self._starts)
        self.started.append(await self._spawn(*command, **options))
        return self.started[-1]

    async def source(self) -> Load:
        """Return a copy."""
        self._raise_next(self._copies)
        return await nothing()

    def _raise_next(self, errors: list[Exception | None]) -> None:
        if errors and (error := errors.pop(0)):
            raise error


class BadModel:
    """Answers each prompt with another fault."""

    def stream(self, prompt: str, **_sampling: Any) -> Iterator[Any]:
        """Refuse at once, or return the pieces."""
        if prompt == "refused":
            raise ValueError(HALF)
        return self._pieces(HALF if prompt == "half" else "a")

    def _pieces(self, text: str) -> Iterator[Any]:
        yield SimpleNamespace(text=text, finish_reason=None, prompt_tokens=1, completion_tokens=1)
        raise ValueError(HALF)


@pytest.mark.parametrize(
    ("prompt", "outcome"), [("refused", "refused"), ("failed", "failed"), ("half", "failed")]
)
def test_a_request_that_raises_in_the_middle_has_an_end(prompt: str, outcome: str) -> None:
    """Also if the piece or the reason cannot be encoded."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as events:
        EngineProcess(BadModel(), writing)._answer(order(prompt))
        os.close(writing)
        *_, end = (EVENT.validate_json(line) for line in events)

    assert_ends(end, outcome)


def test_guidance_is_refused_if_the_wrapper_does_not_know_it() -> None:
    """A wrapper that was logged before it would raise an error of Python's."""
    guided = order().model_copy(update={"guidance": ("regex", "a")})
    older = SimpleNamespace(stream=BadModel().stream, defaults=SimpleNamespace(max_tokens=8))
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as events:
        EngineProcess(older, writing)._answer(guided)
        os.close(writing)
        [end] = (EVENT.validate_json(line) for line in events)

    assert_ends(end, "refused")
    assert (end.param, end.code) == ("guidance", "unsupported_parameter")
    assert end.reason.endswith("release the model again")


class FieldError(ValueError):
    """As today's wrapper refuses a field."""

    param = "stop"


@pytest.mark.parametrize(("error", "param"), [(FieldError("no"), "stop"), (ValueError("no"), None)])
def test_a_refusal_names_the_field_if_the_wrapper_does(error: ValueError, param: str) -> None:
    """Wrappers that were released before take the same arguments and name none."""
    received: set[str] = set()

    def stream(_prompt: str, **sampling: Any) -> None:
        received.update(sampling)
        raise error

    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as events:
        EngineProcess(SimpleNamespace(stream=stream), writing)._answer(order())
        os.close(writing)
        [end] = (EVENT.validate_json(line) for line in events)

    assert_ends(end, "refused")
    assert end.param == param
    assert received == {"max_tokens", "temperature", "top_p", "top_k", "stop", "seed"}


def assert_ends(event: Event, outcome: str) -> None:
    """Check the last event of a request."""
    assert event.kind == "end"
    assert event.outcome == outcome
    assert event.reason
