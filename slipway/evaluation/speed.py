"""How fast artifacts run on this machine, timed in turn so that a busy moment affects all alike."""

import statistics
import time

import numpy as np
from numpy.typing import NDArray

from slipway.errors import SlipwayError
from slipway.evaluation.runtime import Runtime, unmeasurable
from slipway.system.call import CallResult, call
from slipway.system.workspace import Workspace
from slipway.values import Artifact, Speed, Value

PROMPT_TOKENS = 128
NEW_TOKENS = 32

_TEXT = "The ferry leaves the old quay at noon, turns around the breakwater and is back by four. "


class TimingRequest(Value):
    """The artifact to time."""

    artifact: Artifact


class Timing(Value):
    """The times of one process.

    Attributes:
        load_seconds: Until the model is loaded.
        prefill_seconds: For the prompt.
        first_seconds: For the prompt and the first new token.
        decode_seconds: For the new tokens after the first.
        prompt_tokens: Length of the prompt.
        new_tokens: Number of generated tokens.
    """

    load_seconds: float
    prefill_seconds: float
    first_seconds: float
    decode_seconds: float
    prompt_tokens: int
    new_tokens: int


def measure(
    artifacts: tuple[Artifact, ...], workspace: Workspace, rounds: int
) -> tuple[Speed | str, ...]:
    """Time every artifact once a round, each time in a fresh process.

    Args:
        artifacts: The candidates.
        workspace: With what.
        rounds: How often; an even number makes the median a mean of two.

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
    _answer(runtime, prompt[:8], 2)  # the first pass allocates what later ones reuse
    read, first, last = _answer(runtime, prompt, new_tokens)
    return Timing(
        load_seconds=load_seconds,
        prefill_seconds=read,
        first_seconds=first,
        decode_seconds=last - first,
        prompt_tokens=len(prompt),
        new_tokens=new_tokens,
    )


def _timed(artifact: Artifact, workspace: Workspace) -> CallResult[Timing]:
    return call(time_once, TimingRequest(artifact=artifact), workspace.limits, step="time")


def _prompt(runtime: Runtime, tokens: int) -> NDArray[np.int32]:
    """Return a prompt of so many tokens; its words do not change the time that it takes."""
    token_ids = runtime.encode(_TEXT)
    return np.resize(token_ids, tokens)


def _answer(
    runtime: Runtime, prompt: NDArray[np.int32], new_tokens: int
) -> tuple[float, float, float]:
    """Return the seconds until the end of the prompt, the first new token, and the last one."""
    tokens = len(prompt) + new_tokens
    generator = runtime.generator(tokens, min_length=tokens)  # ignores the end of the text
    started = time.perf_counter()
    generator.append_tokens(prompt)
    moments = [time.perf_counter()]
    for _ in range(new_tokens):
        generator.generate_next_token()
        moments.append(time.perf_counter())
    return moments[0] - started, moments[1] - started, moments[-1] - started


def _speed(outcomes: list[CallResult[Timing]]) -> Speed:
    """Return the median of every figure, and the highest peak."""
    timings = [outcome.value for outcome in outcomes]
    first = timings[0]
    prefill, decode = first.prompt_tokens, first.new_tokens - 1
    return Speed(
        load_seconds=statistics.median(each.load_seconds for each in timings),
        time_to_first_token_ms=1000 * statistics.median(each.first_seconds for each in timings),
        prefill_tokens_per_second=prefill / statistics.median(t.prefill_seconds for t in timings),
        decode_tokens_per_second=decode / statistics.median(t.decode_seconds for t in timings),
        peak_memory_bytes=max(outcome.peak_memory_bytes for outcome in outcomes),
        prompt_tokens=first.prompt_tokens,
        new_tokens=first.new_tokens,
        rounds=len(timings),
    )
