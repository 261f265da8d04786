"""A wrapper's answers as a flat table: one row per prompt, one column per fact worth checking.

A suite of expectations can only look at columns. So whatever has to be read out of a response, or
compared with its prompt, is worked out here, once, and None says that a fact does not apply.
"""

import json
import math
import re
from itertools import groupby
from typing import Any, NamedTuple

from slipway.values import Answers, Prediction, Prompt

Cell = str | int | float | bool | None
Row = dict[str, Cell]

CALL_FIELDS = ("id", "created")  # what two answers to one question may differ in
REPEATS = 3  # saying something twice is emphasis
REPEATED_CHARACTERS = 24  # "ha ha ha" is no loop yet
READ_CHARACTERS = 2_000  # the time to find a loop grows with the square
ECHOED_CHARACTERS = 20  # an answer that was cut this far into its question repeats it
NUMBER = r"(?<!\d)\d(?:[.,]?\d){0,18}(?![.,]?\d)"


def rows(answers: Answers, prompts: tuple[Prompt, ...]) -> list[Row]:
    """Lay out what came back, in the suite's order.

    A prompt that was not answered keeps its row, with an error. A prediction too many, for no
    prompt or for one that already has its answer, gets a row at the end.

    Args:
        answers: Everything that one wrapper answered.
        prompts: What it was asked.

    Returns:
        Rows of equal keys. Columns that a contract does not know are None throughout.
    """
    spare = list(answers.predictions)
    pairs: list[tuple[str, Prompt | None, Prediction | None]] = [
        (prompt.id, prompt, _take(spare, prompt.id)) for prompt in prompts
    ]
    asked = {prompt.id: prompt for prompt in prompts}
    pairs += [(surplus.prompt_id, asked.get(surplus.prompt_id), surplus) for surplus in spare]
    return [_row(answers, *pair) for pair in pairs]


def repetition(text: str) -> float:
    """Measure how much of ``text`` is one phrase said again and again without a break.

    Looks for the longest stretch that repeats with a fixed distance, whatever the script: letter
    by letter, with letter case and the width of spaces ignored. A number of up to 19 digits counts
    as one letter, so that ``1,000,000,000`` is no loop. The last repeat may be cut off. A numbered
    list of equal lines is no loop either: its numbers differ.

    Args:
        text: An answer; the first 2,000 characters are read.

    Returns:
        Share of the characters that the stretch covers, 0 to 1. 0 below three repeats or 24
        characters.
    """
    plain = " ".join(text.casefold().split())[:READ_CHARACTERS]
    symbols = re.findall(f"{NUMBER}|.", plain)
    steps = range(1, len(symbols) // REPEATS + 1)
    longest = max((_stretch(symbols, step) for step in steps), default=0)
    return longest / len(symbols) if longest >= REPEATED_CHARACTERS else 0.0


def _stretch(symbols: list[str], step: int) -> int:
    """Length of the longest run in which every symbol equals the one ``step`` before it."""
    equal = (before == after for before, after in zip(symbols, symbols[step:], strict=False))
    run = max((sum(1 for _ in group) for same, group in groupby(equal) if same), default=0)
    return run + step if run + step >= REPEATS * step else 0


class _Answer(NamedTuple):
    """What a response says, as far as it can be read; None for what it does not say."""

    output: str | None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


def _take(spare: list[Prediction], prompt_id: str) -> Prediction | None:
    """Remove the first prediction for ``prompt_id`` from ``spare``, and return it."""
    for place, prediction in enumerate(spare):
        if prediction.prompt_id == prompt_id:
            return spare.pop(place)
    return None


def _row(
    answers: Answers, prompt_id: str, prompt: Prompt | None, prediction: Prediction | None
) -> Row:
    """Lay out one answer; whatever cannot be read or compared is None."""
    response = prediction.response if prediction else None
    is_json, value = _parsed(response)
    answer = _chat(value) if answers.contract == "chat" else _Answer(_text(value))
    passes_stop = answers.kind == "onnx" and answers.contract == "chat"
    stop = prompt.stop if prompt and passes_stop else ()
    return {
        "prompt_id": prompt_id,
        "response": _text(response),
        "is_json": is_json if response is not None else None,
        **answer._asdict(),
        "output_length": None if answer.output is None else len(answer.output),
        "usage_adds_up": _adds_up(answer),
        "finish_reason_truthful": _truthful(answer, prompt.max_tokens) if prompt else None,
        "stop_respected": _respects(stop, answer.output),
        "longest_repeat_ratio": None if answer.output is None else repetition(answer.output),
        "echoes_prompt": _echoes(prompt, answer.output) if prompt else None,
        "deterministic": _same(response, prediction.repeated) if prediction else None,
        "latency_ms": _duration(prediction.latency_ms) if prediction else None,
        "error": _error(prediction),
    }


def _parsed(text: str | None) -> tuple[bool, Any]:
    """Whether ``text`` is JSON in the strict sense, without NaN and Infinity, and its value."""
    try:
        return True, json.loads(text or "", parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False, None


def _refuse(constant: str) -> None:
    """Reject what Python reads as JSON and other languages do not."""
    raise ValueError(constant)


def _chat(completion: Any) -> _Answer:
    """Read a chat completion: its first choice and its usage."""
    usage = [
        _at(completion, "usage", f"{part}_tokens") for part in ("prompt", "completion", "total")
    ]
    return _Answer(
        _text(_at(completion, "choices", 0, "message", "content")),
        _text(_at(completion, "choices", 0, "finish_reason")),
        *(_count(tokens) for tokens in usage),
    )


def _at(value: Any, *path: str | int) -> Any:
    """Follow ``path`` into nested JSON; None where it ends early."""
    for step in path:
        try:
            value = value[step]
        except (TypeError, KeyError, IndexError):
            return None
    return value


def _text(value: Any) -> str | None:
    """Return ``value`` if it is text; half of a surrogate pair becomes U+FFFD, as when decoding."""
    if not isinstance(value, str):
        return None
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _count(value: Any) -> int | None:
    """Return ``value`` if JSON schema calls it an integer, as it does 5.0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value // 1 else None


def _duration(latency_ms: float) -> float | None:
    """Return a time that can have passed; NaN, infinity and negative ones were not measured."""
    return latency_ms if math.isfinite(latency_ms) and latency_ms >= 0 else None


def _adds_up(answer: _Answer) -> bool | None:
    """Whether the total is the sum of its parts."""
    if answer.prompt_tokens is None or answer.completion_tokens is None:
        return None
    if answer.total_tokens is None:
        return None
    return answer.prompt_tokens + answer.completion_tokens == answer.total_tokens


def _truthful(answer: _Answer, max_tokens: int) -> bool | None:
    """Whether ``length`` is said when the budget was spent, and ``stop`` when it was not.

    ``stop`` on the last token of the budget is in doubt: that token may have been the end of the
    text, or of a stop string.
    """
    if answer.completion_tokens is None or answer.finish_reason not in {"length", "stop"}:
        return None
    if answer.completion_tokens == max_tokens and answer.finish_reason == "stop":
        return None
    spent = answer.completion_tokens >= max_tokens
    return answer.finish_reason == ("length" if spent else "stop")


def _respects(stop: tuple[str, ...], output: str | None) -> bool | None:
    """Whether the answer ended before every text at which it had to."""
    if not stop or output is None:
        return None
    return not any(text in output for text in stop)


def _echoes(prompt: Prompt, output: str | None) -> bool | None:
    """Whether the answer is the question again, whole or cut off at the token limit."""
    if output is None:
        return None
    asked, answered = (
        "".join(text.casefold().split()) for text in (prompt.messages[-1].content, output)
    )
    return bool(answered) and asked[: max(len(answered), ECHOED_CHARACTERS)] == answered


def _same(response: str | None, repeated: str | None) -> bool | None:
    """Whether asking again brought the same answer, apart from what names the call."""
    if repeated is None:
        return None
    return bool(_without_call(response) == _without_call(repeated))


def _without_call(response: str | None) -> Any:
    """Leave out the fields that name a call; text that is no JSON stays as it is."""
    is_json, value = _parsed(response)
    if isinstance(value, dict):
        return {field: part for field, part in value.items() if field not in CALL_FIELDS}
    return value if is_json else response


def _error(prediction: Prediction | None) -> str | None:
    """Say why there is no answer."""
    if prediction is None:
        return "no prediction came back"
    if prediction.error is None and prediction.response is None:
        return "the prediction is empty"
    return _text(prediction.error)
