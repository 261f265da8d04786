"""How fast artifacts run on this machine, measured in turn so that a busy moment hits them all."""

import statistics
import time

import numpy as np
from numpy.typing import NDArray

from slipway.errors import SlipwayError
from slipway.evaluation.runtime import Runtime, unmeasurable
from slipway.system import process
from slipway.system.workspace import Workspace
from slipway.values import Artifact, Speed, Value

#: How often each artifact is loaded and timed; odd, so that the median is one of them.
ROUNDS = 3
PROMPT_TOKENS = 128
NEW_TOKENS = 32

_TEXT = "The ferry leaves the old quay at noon, turns around the breakwater and is back by four. "


class TimingRequest(Value):
    """What to time.

    Attributes:
        artifact: The artifact, in its folder.
    """

    artifact: Artifact


class Timing(Value):
    """What one process took.

    Attributes:
        load_seconds: To a model that can be asked.
        prefill_seconds: To read the prompt.
        first_seconds: To read the prompt and to choose the first new token.
        decode_seconds: For the new tokens after the first.
        prompt_tokens: Length of the prompt.
        new_tokens: Tokens that were generated.
    """

    load_seconds: float
    prefill_seconds: float
    first_seconds: float
    decode_seconds: float
    prompt_tokens: int
    new_tokens: int


def measure(
    artifacts: tuple[Artifact, ...], workspace: Workspace, rounds: int = ROUNDS
) -> tuple[Speed | str, ...]:
    """Time every artifact once a round, each time in a fresh process.

    Args:
        artifacts: The candidates.
        workspace: With what.
        rounds: How often; an even number makes the median a mean of two.

    Returns:
        What each took, or in one line why that is not known, in the order of ``artifacts``.
    """
    failed = {place: why for place, each in enumerate(artifacts) if (why := unmeasurable(each))}
    taken: dict[int, list[process.Outcome[Timing]]] = {place: [] for place in range(len(artifacts))}
    for number in range(rounds):
        for place, artifact in enumerate(artifacts):
            if place in failed:
                continue
            share = (number + place / len(artifacts)) / rounds
            workspace.progress(share, f"round {number + 1} of {rounds}: {artifact.variant}")
            try:
                taken[place].append(_timed(artifact, workspace))
            except SlipwayError as error:
                failed[place] = str(error)
    return tuple(failed.get(place) or _speed(outcomes) for place, outcomes in taken.items())


def time_once(request: TimingRequest) -> Timing:
    """Load an artifact, warm it up, and time one answer of a fixed length."""
    started = time.perf_counter()
    runtime = Runtime(request.artifact.stored.folder)
    load_seconds = time.perf_counter() - started
    new_tokens = min(NEW_TOKENS, runtime.context_tokens // 2)
    prompt = _prompt(runtime, min(PROMPT_TOKENS, runtime.context_tokens - new_tokens))
    _answer(runtime, prompt[:8], 2)  # the first pass of all prepares what later ones share
    read, first, last = _answer(runtime, prompt, new_tokens)
    return Timing(
        load_seconds=load_seconds,
        prefill_seconds=read,
        first_seconds=first,
        decode_seconds=last - first,
        prompt_tokens=len(prompt),
        new_tokens=new_tokens,
    )


def _timed(artifact: Artifact, workspace: Workspace) -> process.Outcome[Timing]:
    return process.call(time_once, TimingRequest(artifact=artifact), workspace.limits, step="time")


def _prompt(runtime: Runtime, tokens: int) -> NDArray[np.int32]:
    """Return a prompt of so many tokens; what it says does not change the time that it takes."""
    token_ids = runtime.encode(_TEXT)
    return np.resize(token_ids, tokens)


def _answer(
    runtime: Runtime, prompt: NDArray[np.int32], new_tokens: int
) -> tuple[float, float, float]:
    """Return the seconds until the prompt was read, to the first new token, and to the last."""
    tokens = len(prompt) + new_tokens
    generator = runtime.generator(tokens, min_length=tokens)  # no end of text ends it earlier
    started = time.perf_counter()
    generator.append_tokens(prompt)
    moments = [time.perf_counter()]
    for _ in range(new_tokens):
        generator.generate_next_token()
        moments.append(time.perf_counter())
    return moments[0] - started, moments[1] - started, moments[-1] - started


def _speed(outcomes: list[process.Outcome[Timing]]) -> Speed:
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
