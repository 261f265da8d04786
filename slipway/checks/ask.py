"""Asks a registered wrapper the smoke prompts, in a child process."""

import json
import time
from collections.abc import Iterator
from itertools import groupby, zip_longest
from typing import Any

from slipway.checks.renderings import end_token_ids, renderings
from slipway.system.process import describe, peak_memory_bytes
from slipway.system.progress import report
from slipway.values import Answers, LoggedWrapper, Prediction, Prompt, Value


class AskRequest(Value):
    """Which wrapper to ask, and what.

    Attributes:
        tracking_uri: Address of MLflow's tracking store and registry.
        wrapper: A registered version.
        prompts: The questions.
    """

    tracking_uri: str
    wrapper: LoggedWrapper
    prompts: tuple[Prompt, ...]


def ask(request: AskRequest) -> Answers:
    """Load a wrapper from its registry address and ask it every prompt, greedily."""
    import mlflow

    mlflow.set_tracking_uri(request.tracking_uri)
    mlflow.set_registry_uri(request.tracking_uri)
    started = time.monotonic()
    model = mlflow.pyfunc.load_model(request.wrapper.uri, model_config=_greedy(request))
    load_seconds = time.monotonic() - started
    predictions = tuple(_predictions(model, request))
    return Answers(
        kind=request.wrapper.kind,
        contract=request.wrapper.contract,
        predictions=predictions,
        load_seconds=load_seconds,
        peak_memory_bytes=peak_memory_bytes(),
        tokens_per_second=_speed(model, request.wrapper, predictions),
        renderings=renderings(model, request.wrapper.kind, request.prompts),
        end_token_ids=end_token_ids(model, request.wrapper.kind),
    )


def _greedy(request: AskRequest) -> dict[str, Any] | None:
    """Return the settings under which a question has one answer; None if they are the default.

    A request of the ``prompt`` contract has no limit of tokens, so the limit is set at load.
    """
    if request.wrapper.contract == "prompt":
        longest = max(prompt.max_tokens for prompt in request.prompts)
        return {"temperature": 0.0, "max_tokens": longest}
    return None


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
        again, error_again = None, None
        if prompt.repeat and response is not None:
            (again, *_), _, error_again = _responses(model, wrapper, (prompt,))
        yield Prediction(
            prompt_id=prompt.id,
            response=response,
            repeated=again,
            latency_ms=latency_ms / len(prompts),
            error=error or error_again,
        )


def _responses(
    model: Any, wrapper: LoggedWrapper, prompts: tuple[Prompt, ...]
) -> tuple[list[str | None], float, str | None]:
    """Return the answers as JSON texts, their latency in ms, and the error that was raised."""
    import pandas as pd

    started = time.monotonic()
    answers: list[str | None] = [None]
    error = None
    try:
        rows = pd.DataFrame([_row(model, wrapper, prompt) for prompt in prompts])
        answers = [json.dumps(answer, ensure_ascii=False) for answer in model.predict(rows)]
    except Exception as raised:  # noqa: BLE001 - a wrapper may raise anything; the report names it
        error = describe(raised)
    return answers, (time.monotonic() - started) * 1000, error


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
