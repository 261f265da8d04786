"""Asks a registered wrapper the smoke prompts, in a child process."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from slipway.checks import answer_table, sampled, structured
from slipway.checks.load import load
from slipway.checks.renderings import askable, end_token_ids, generated, renderings
from slipway.checks.tokenization import tokens
from slipway.system.process import describe, peak_memory_bytes
from slipway.system.progress import report
from slipway.values import (
    Answers,
    Battery,
    LoggedWrapper,
    Prediction,
    Prompt,
    Samples,
    StructuredRequest,
    Value,
)


class FurtherQuestions(Value):
    """What a wrapper does after the prompts of its suite.

    Attributes:
        texts: What to encode and to decode.
        battery: What to sample; None for nothing.
        structured: Questions whose answers have a form.
    """

    texts: tuple[str, ...] = ()
    battery: Battery | None = None
    structured: StructuredRequest = StructuredRequest(prompts=())


class AskRequest(FurtherQuestions):
    """Which wrapper to ask, and what.

    Attributes:
        folder: A verified copy of the version.
        wrapper: The registered version.
        prompts: The questions.
    """

    folder: Path
    wrapper: LoggedWrapper
    prompts: tuple[Prompt, ...]


def ask(request: AskRequest) -> Answers:
    """Load a wrapper and ask it every prompt, greedily; then sample a few, if it is to."""
    started = time.monotonic()
    model = load(request.folder, _greedy(request))
    load_seconds = time.monotonic() - started
    kind, written = request.wrapper.kind, request.prompts
    request = request.model_copy(update={"prompts": askable(model, kind, written)})
    predictions = tuple(_predictions(model, request))
    answers = Answers(
        kind=kind,
        contract=request.wrapper.contract,
        predictions=predictions,
        load_seconds=load_seconds,
        peak_memory_bytes=peak_memory_bytes(),
        tokens_per_second=_speed(model, request.wrapper, predictions),
        renderings=renderings(model, kind, request.prompts),
        conversations=generated(model, kind),
        without_system=tuple(prompt.id for prompt in written if prompt not in request.prompts),
        end_token_ids=end_token_ids(model, kind),
        tokens=tokens(model, kind, request.texts),
    )
    return answers.model_copy(
        update={
            "samples": _samples(model, request, answers),
            "structured": structured.ask(model, kind, request.structured),
        }
    )


def _samples(model: Any, request: AskRequest, answers: Answers) -> Samples | None:
    if request.battery is None:
        return None
    sampling = request.battery.sampling or sampled.declared(request.folder / "model")
    if sampling is None:
        return None
    report(1.0, "sampling answers")
    chosen = request.battery.prompt_ids or sampled.soonest(answers, request.prompts)
    prompts = tuple(prompt for prompt in request.prompts if prompt.id in chosen)
    return sampled.draw(model, request.wrapper, sampling, prompts)


def _greedy(request: AskRequest) -> dict[str, Any] | None:
    """Return the settings under which a question has one answer; None if each request says so."""
    return {"temperature": 0.0} if request.wrapper.contract == "prompt" else None


def _predictions(model: Any, request: AskRequest) -> Iterator[Prediction]:
    asked = 0
    for _, group in groupby(request.prompts, key=lambda prompt: prompt.group or prompt.id):
        prompts = tuple(group)
        yield from _ask_together(model, request.wrapper, prompts)
        asked += len(prompts)
        total = len(request.prompts)
        report(asked / total, f"asked {asked} of {total} prompts")


def _ask_together(
    model: Any, wrapper: LoggedWrapper, prompts: tuple[Prompt, ...]
) -> Iterator[Prediction]:
    responses, latency_ms, error = _responses(model, wrapper, prompts)
    surplus = prompts[-1:] * (len(responses) - len(prompts))  # for the suite to find
    for prompt, response in zip_longest((*prompts, *surplus), responses):
        again, error_again = _ask_again(model, wrapper, prompt, response)
        yield Prediction(
            prompt_id=prompt.id,
            response=response,
            repeated=again,
            latency_ms=latency_ms / len(prompts),
            error=error or error_again,
        )


def _ask_again(
    model: Any, wrapper: LoggedWrapper, prompt: Prompt, response: str | None
) -> tuple[str | None, str | None]:
    """Return the first repeated answer that differs, or else the last, and its error."""
    again, error = None, None
    for _ in range(prompt.repeat if response is not None else 0):
        (again, *_), _, error = _responses(model, wrapper, (prompt,))
        if error or not answer_table.same_answer(response, again):
            break
    return again, error


def _responses(
    model: Any, wrapper: LoggedWrapper, prompts: tuple[Prompt, ...]
) -> tuple[list[str | None], float, str | None]:
    """Return the answers as JSON texts, their latency in ms, and the error that was raised."""
    import pandas as pd

    started = time.monotonic()
    answers: list[str | None] = [None]
    error = None
    try:
        if wrapper.contract == "prompt":
            _limit(model.unwrap_python_model(), prompts[0].max_tokens)
        rows = pd.DataFrame([_row(model, wrapper, prompt) for prompt in prompts])
        answers = [json.dumps(answer, ensure_ascii=False) for answer in model.predict(rows)]
    except Exception as raised:  # noqa: BLE001 - a wrapper may raise anything; the report names it
        error = describe(raised)
    return answers, (time.monotonic() - started) * 1000, error


def _limit(python_model: Any, max_tokens: int) -> None:
    """Limit the next answers: a request of the ``prompt`` contract cannot.

    Source and candidate are compared, so neither may have more tokens for an answer.
    """
    python_model.defaults = replace(python_model.defaults, max_tokens=max_tokens)


def _row(model: Any, wrapper: LoggedWrapper, prompt: Prompt) -> dict[str, Any]:
    """Return a prompt as a request of the wrapper's contract.

    MLflow's transformers flavor refuses ``temperature`` 0, and for ``stop`` it would load the
    tokenizer again from where the weights once were; its requests have neither.
    """
    messages = [message.model_dump() for message in prompt.messages]
    if wrapper.contract == "prompt":
        if len(messages) == 1:
            return {"prompt": messages[0]["content"]}
        return {"prompt": model.unwrap_python_model().render(messages)}
    row: dict[str, Any] = {"messages": messages, "max_tokens": prompt.max_tokens}
    if wrapper.kind == "onnx":
        row |= {"temperature": 0.0} | ({"stop": list(prompt.stop)} if prompt.stop else {})
    return row


def _speed(model: Any, wrapper: LoggedWrapper, predictions: tuple[Prediction, ...]) -> float | None:
    """Return new tokens per second, over all answers; None if they cannot be counted."""
    answered = [each for each in predictions if each.response is not None]
    seconds = sum(each.latency_ms for each in answered) / 1000
    if not seconds:
        return None
    try:
        return sum(_tokens(model, wrapper, each) for each in answered) / seconds
    except (KeyError, TypeError, ValueError):
        return None


def _tokens(model: Any, wrapper: LoggedWrapper, prediction: Prediction) -> int:
    response = json.loads(prediction.response or "null")
    if wrapper.contract == "prompt":
        return len(model.unwrap_python_model().encode(response))
    return int(response["usage"]["completion_tokens"])
