"""A wrapper's answers as a flat table: one row per prompt, one column per fact to check.

A suite of expectations can only check columns. So every fact that is read from a response, or that
needs the prompt too, is computed here. None means that a fact does not apply.
"""

import json
import math
import re
from itertools import groupby
from typing import Any, NamedTuple

from slipway.values import Answers, Prediction, Prompt

Cell = str | int | float | bool | None
Row = dict[str, Cell]

CALL_FIELDS = ("id", "created")  # differ in two equal answers
REPEATS = 3  # saying something twice is emphasis
REPEATED_CHARACTERS = 24  # "ha ha ha" is no loop yet
READ_CHARACTERS = 2_000  # the time to find a loop grows with the square of the length
ECHOED_CHARACTERS = 20  # an answer that was cut after this much of its question repeats it
NUMBER = r"(?<!\d)\d(?:[.,]?\d){0,18}(?![.,]?\d)"


def rows(answers: Answers, prompts: tuple[Prompt, ...]) -> list[Row]:
    """Return the answers as rows, in the order of the prompts.

    A prompt without an answer has a row with an error. An extra prediction, for no prompt or for
    one that already has an answer, has a row at the end.

    Args:
        answers: All answers of one wrapper.
        prompts: The prompts of the smoke test.

    Returns:
        Rows with equal keys. Columns that the contract does not have are None throughout.
    """
    spare = list(answers.predictions)
    pairs: list[tuple[str, Prompt | None, Prediction | None]] = [
        (prompt.id, prompt, _take(spare, prompt.id)) for prompt in prompts
    ]
    asked = {prompt.id: prompt for prompt in prompts}
    pairs += [(surplus.prompt_id, asked.get(surplus.prompt_id), surplus) for surplus in spare]
    return [_row(answers, *pair) for pair in pairs]


def repetition(text: str) -> float:
    """Return the share of ``text`` in which one phrase is repeated without a break.

    This is the longest stretch that repeats with a fixed distance, in any script: character by
    character, ignoring letter case and the width of spaces. A number of up to 19 digits counts as
    one character, so that ``1,000,000,000`` is no loop. The last repeat may be cut off. A numbered
    list of equal lines is no loop: its numbers differ.

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


def same_answer(response: str | None, repeated: str | None) -> bool | None:
    """Return whether the repeated answer is the same, except for the id and time of the call."""
    if repeated is None:
        return None
    return bool(_without_call(response) == _without_call(repeated))


def _stretch(symbols: list[str], step: int) -> int:
    """Return the length of the longest run of symbols that equal the one ``step`` before them."""
    equal = (before == after for before, after in zip(symbols, symbols[step:], strict=False))
    run = max((sum(1 for _ in group) for same, group in groupby(equal) if same), default=0)
    return run + step if run + step >= REPEATS * step else 0


class _Answer(NamedTuple):
    """The readable fields of a response; None for those that it does not have."""

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
    """Return one answer as a row; a fact that cannot be read or compared is None."""
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
        "deterministic": same_answer(response, prediction.repeated) if prediction else None,
        "latency_ms": _duration(prediction.latency_ms) if prediction else None,
        "error": _error(prediction),
    }


def _parsed(text: str | None) -> tuple[bool, Any]:
    """Return whether ``text`` is strict JSON, without NaN and Infinity, and its value."""
    try:
        return True, json.loads(text or "", parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False, None


def _refuse(constant: str) -> None:
    """Reject a constant that Python accepts in JSON and other languages do not."""
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
    """Return the value at ``path`` in nested JSON; None if there is none."""
    for step in path:
        try:
            value = value[step]
        except (TypeError, KeyError, IndexError):
            return None
    return value


def _text(value: Any) -> str | None:
    """Return ``value`` if it is text; half of a surrogate pair becomes U+FFFD, as in decoding."""
    if not isinstance(value, str):
        return None
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _count(value: Any) -> int | None:
    """Return ``value`` if it is an integer for JSON schema, as 5.0 is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value // 1 else None


def _duration(latency_ms: float) -> float | None:
    """Return a possible duration; None for NaN, infinity and negative ones."""
    return latency_ms if math.isfinite(latency_ms) and latency_ms >= 0 else None


def _adds_up(answer: _Answer) -> bool | None:
    """Return whether the total is the sum of its parts."""
    if answer.prompt_tokens is None or answer.completion_tokens is None:
        return None
    if answer.total_tokens is None:
        return None
    return answer.prompt_tokens + answer.completion_tokens == answer.total_tokens


def _truthful(answer: _Answer, max_tokens: int) -> bool | None:
    """Return whether the reason is ``length`` at the token limit, and ``stop`` before it.

    ``stop`` at the limit is undecided: the last token may have been the end of the text, or of a
    stop text.
    """
    if answer.completion_tokens is None or answer.finish_reason not in {"length", "stop"}:
        return None
    if answer.completion_tokens == max_tokens and answer.finish_reason == "stop":
        return None
    at_limit = answer.completion_tokens >= max_tokens
    return answer.finish_reason == ("length" if at_limit else "stop")


def _respects(stop: tuple[str, ...], output: str | None) -> bool | None:
    """Return whether the answer ended before every stop text."""
    if not stop or output is None:
        return None
    return not any(text in output for text in stop)


def _echoes(prompt: Prompt, output: str | None) -> bool | None:
    """Return whether the answer repeats the question, whole or cut at the token limit."""
    if output is None:
        return None
    question, answer = (
        "".join(text.casefold().split()) for text in (prompt.messages[-1].content, output)
    )
    return bool(answer) and question[: max(len(answer), ECHOED_CHARACTERS)] == answer


def _without_call(response: str | None) -> Any:
    """Return a response without the id and time of the call; text that is no JSON is unchanged."""
    is_json, value = _parsed(response)
    if isinstance(value, dict):
        return {field: part for field, part in value.items() if field not in CALL_FIELDS}
    return value if is_json else response


def _error(prediction: Prediction | None) -> str | None:
    """Return why there is no answer; None if there is one."""
    if prediction is None:
        return "the wrapper returned no prediction"
    if prediction.error is None and prediction.response is None:
        return "the prediction is empty"
    return _text(prediction.error)
