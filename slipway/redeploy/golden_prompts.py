"""Golden prompts over HTTP: what a server must answer before anybody depends on it."""

import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from slipway.errors import CandidateFailed
from slipway.redeploy.model_server import Address
from slipway.values import Prompt, Value

#: A single answer may take this many times as long as the median may.
_SLACK = 3


class GoldenPrompts(Value):
    """What is asked, and what an answer has to be.

    Attributes:
        prompts: The questions; the first is asked once more as a stream.
        answer: JSON schema of a chat completion.
        max_median_latency_ms: Slowest median of the answers.
    """

    prompts: tuple[Prompt, ...]
    answer: dict[str, Any]
    max_median_latency_ms: float


def ask(address: Address, model: str, version: int, golden: GoldenPrompts) -> float:
    """Return the median latency in ms of the golden prompts, all of them answered well.

    Raises:
        CandidateFailed: Naming the first prompt whose answer is not as it has to be.
    """
    slowest_seconds = _SLACK * golden.max_median_latency_ms / 1000
    validator = Draft202012Validator(golden.answer)
    latencies_ms: list[float] = []
    with httpx.Client(base_url=address.url, timeout=slowest_seconds, trust_env=False) as client:
        for prompt in golden.prompts:
            try:
                started = time.monotonic()
                _check_plain(client, model, version, prompt, validator)
                latencies_ms.append((time.monotonic() - started) * 1000)
            except (httpx.HTTPError, ValueError) as error:
                raise CandidateFailed(model, version, _why(prompt.id, error)) from error
        try:
            _check_stream(client, model, version, golden.prompts[0])
        except (httpx.HTTPError, ValueError) as error:
            raise CandidateFailed(model, version, _why("the stream", error)) from error
    return _fast_enough(model, version, latencies_ms, golden.max_median_latency_ms)


def _fast_enough(model: str, version: int, latencies_ms: list[float], limit_ms: float) -> float:
    median_ms = statistics.median(latencies_ms)
    if median_ms > limit_ms:
        reason = f"too slow: the median answer took {median_ms:.0f} ms, allowed {limit_ms:.0f} ms"
        raise CandidateFailed(model, version, reason)
    return median_ms


def _why(what: str, error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"too slow: no answer to {what} in time"
    return " ".join(f"{what}: {error or type(error).__name__}".split())[:300]


def _check_plain(
    client: httpx.Client, model: str, version: int, prompt: Prompt, validator: Draft202012Validator
) -> None:
    answer = client.post("/v1/chat/completions", json=_question(model, prompt))
    _check_head(answer, version)
    document = answer.json()
    if fault := next(validator.iter_errors(document), None):
        raise ValueError(f"wrong answer shape: {fault.json_path}: {fault.message}")
    if not document["choices"][0]["message"]["content"].strip():
        raise ValueError("the answer is empty")


def _check_stream(client: httpx.Client, model: str, version: int, prompt: Prompt) -> None:
    question = _question(model, prompt) | {"stream": True}
    with client.stream("POST", "/v1/chat/completions", json=question) as answer:
        _check_head(answer, version)
        texts = list(_deltas(answer))
    if not "".join(texts).strip():
        raise ValueError("the streamed answer is empty")


def _deltas(answer: httpx.Response) -> Iterator[str]:
    """Yield the texts of a stream, which ends with ``[DONE]``."""
    for line in answer.iter_lines():
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        if data and line.startswith("data:"):
            document = json.loads(data)
            if "error" in document:
                raise ValueError(f"it broke off: {document['error'].get('message')}")
            for choice in document.get("choices", []):
                yield choice["delta"].get("content") or ""
    raise ValueError("it ended without [DONE]")


def _check_head(answer: httpx.Response, version: int) -> None:
    if answer.status_code != httpx.codes.OK:
        raise ValueError(f"status {answer.status_code}: {answer.read().decode()[:200]}")
    if (seen := answer.headers.get("X-Model-Version")) != str(version):
        raise ValueError(f"version {seen} answered")


def _question(model: str, prompt: Prompt) -> dict[str, Any]:
    question: dict[str, Any] = {
        "model": model,
        "messages": [message.model_dump() for message in prompt.messages],
        "max_tokens": prompt.max_tokens,
        "temperature": 0,
    }
    return question | ({"stop": list(prompt.stop)} if prompt.stop else {})
