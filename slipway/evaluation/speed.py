"""How fast artifacts run on this machine and what energy that takes.

They are timed in turn, so that a busy moment affects all alike.
"""

import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slipway.errors import SlipwayError
from slipway.evaluation.runtime import Runtime, unmeasurable
from slipway.system import energy
from slipway.system.call import CallResult, call
from slipway.system.energy import EnergyCounters
from slipway.system.workspace import Workspace
from slipway.values import Artifact, Speed, Value

PROMPT_TOKENS = 128
NEW_TOKENS = 32

_TEXT = "The ferry leaves the old quay at noon, turns around the breakwater and is back by four. "


class TimingRequest(Value):
    """The artifact to time, and the folder with the machine's energy counters."""

    artifact: Artifact
    counters: Path = energy.POWERCAP


class Timing(Value):
    """The times of one process.

    Attributes:
        first_seconds: For the prompt and the first new token.
        decode_seconds: For the new tokens after the first.
        decode_joules: Of all processor packages meanwhile, or in one line why it is unknown.
    """

    load_seconds: float
    prefill_seconds: float
    first_seconds: float
    decode_seconds: float
    prompt_tokens: int
    new_tokens: int
    decode_joules: float | str


class _Answer(NamedTuple):
    """Seconds until the end of the prompt, the first and the last new token; and the energy."""

    read: float
    first: float
    last: float
    decode_joules: float | str


def measure(
    artifacts: tuple[Artifact, ...], workspace: Workspace, rounds: int
) -> tuple[Speed | str, ...]:
    """Time every artifact once a round, each time in a fresh process.

    Returns:
        The speed of each, or in one line why it is unknown, in the order of ``artifacts``.
    """
    failed = {place: why for place, each in enumerate(artifacts) if (why := unmeasurable(each))}
    timed: dict[int, list[CallResult[Timing]]] = {place: [] for place in range(len(artifacts))}
    for number in range(rounds):
        for place, artifact in enumerate(artifacts):
            if place in failed:
                continue
            share = (number + place / len(artifacts)) / rounds
            workspace.progress(share, f"round {number + 1} of {rounds}: {artifact.variant}")
            try:
                timed[place].append(_timed(artifact, workspace))
            except SlipwayError as error:
                failed[place] = error.brief
    return tuple(failed.get(place) or _speed(outcomes) for place, outcomes in timed.items())


def time_once(request: TimingRequest) -> Timing:
    """Load an artifact, warm it up, and time one answer of a fixed length."""
    started = time.perf_counter()
    runtime = Runtime(request.artifact.stored.folder)
    load_seconds = time.perf_counter() - started
    new_tokens = min(NEW_TOKENS, runtime.context_tokens // 2)
    prompt = _prompt(runtime, min(PROMPT_TOKENS, runtime.context_tokens - new_tokens))
    counters = energy.find(request.counters)
    _answer(runtime, prompt[:8], 2, counters)  # the first pass allocates what later ones reuse
    timed = _answer(runtime, prompt, new_tokens, counters)
    return Timing(
        load_seconds=load_seconds,
        prefill_seconds=timed.read,
        first_seconds=timed.first,
        decode_seconds=timed.last - timed.first,
        prompt_tokens=len(prompt),
        new_tokens=new_tokens,
        decode_joules=timed.decode_joules,
    )


def _timed(artifact: Artifact, workspace: Workspace) -> CallResult[Timing]:
    return call(time_once, TimingRequest(artifact=artifact), workspace.limits, step="time")


def _prompt(runtime: Runtime, tokens: int) -> NDArray[np.int32]:
    """Return a prompt of so many tokens; its words do not change the time that it takes."""
    token_ids = runtime.encode(_TEXT)
    return np.resize(token_ids, tokens)


def _answer(
    runtime: Runtime,
    prompt: NDArray[np.int32],
    new_tokens: int,
    counters: EnergyCounters | str,
) -> _Answer:
    tokens = len(prompt) + new_tokens
    generator = runtime.generator(tokens, min_length=tokens)  # ignores the end of the text
    started = time.perf_counter()
    generator.append_tokens(prompt)
    read = time.perf_counter()
    generator.generate_next_token()
    first = time.perf_counter()
    before = () if isinstance(counters, str) else counters.read()
    for _ in range(new_tokens - 1):
        generator.generate_next_token()
    last = time.perf_counter()
    joules = counters if isinstance(counters, str) else counters.joules_since(before)
    unknown = joules == 0 and "the energy counters stand still"
    return _Answer(read - started, first - started, last - started, unknown or joules)


def _speed(outcomes: list[CallResult[Timing]]) -> Speed:
    """Return the median of every figure, and the highest peak."""
    timings = [outcome.value for outcome in outcomes]
    first = timings[0]
    prefill, decode = first.prompt_tokens, first.new_tokens - 1
    used = [each.decode_joules for each in timings]
    joules = [each for each in used if not isinstance(each, str)]
    return Speed(
        load_seconds=statistics.median(each.load_seconds for each in timings),
        time_to_first_token_ms=1000 * statistics.median(each.first_seconds for each in timings),
        prefill_tokens_per_second=prefill / statistics.median(t.prefill_seconds for t in timings),
        decode_tokens_per_second=decode / statistics.median(t.decode_seconds for t in timings),
        peak_memory_bytes=max(outcome.peak_memory_bytes for outcome in outcomes),
        prompt_tokens=first.prompt_tokens,
        new_tokens=first.new_tokens,
        rounds=len(timings),
        joules_per_1000_tokens=1000 / decode * statistics.median(joules) if joules else None,
        energy_unknown=next((each for each in used if isinstance(each, str)), None),
    )
