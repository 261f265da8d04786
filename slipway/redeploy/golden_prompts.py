"""Golden prompts over HTTP: what a server must answer before it serves."""

import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from slipway.errors import CandidateFailed
from slipway.serving.server_file import Address
from slipway.values import Prompt, Value

#: A single answer may take this many times the limit of the median.
_SLACK = 3
_CHAT = "/v1/chat/completions"
#: The wrapper's code for messages that its chat template does not render.
_DECLINED = "messages_declined"


class GoldenPrompts(Value):
    """The prompts, and what their answers must satisfy.

    Attributes:
        prompts: Each is sent once; the first is sent once more as a stream.
        answer: JSON schema of a chat completion.
        max_median_latency_ms: Limit of the answers' median latency.
    """

    prompts: tuple[Prompt, ...]
    answer: dict[str, Any]
    max_median_latency_ms: float


def check(
    address: Address, model: str, version: int, golden: GoldenPrompts, key: str = ""
) -> float:
    """Send the golden prompts and return their median latency in ms.

    Args:
        address: The server.
        model: What it has to serve.
        version: What it has to answer with.
        golden: The prompts, and what their answers must satisfy.
        key: The server's key of our own, where it requires one.

    Raises:
        CandidateFailed: With the first prompt whose answer is not as it must be.
    """
    timeout_seconds = _SLACK * golden.max_median_latency_ms / 1000
    validator = Draft202012Validator(golden.answer)
    latencies_ms: list[float] = []
    asked: list[Prompt] = []
    step = ""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(
        base_url=address.url, headers=headers, timeout=timeout_seconds, trust_env=False
    ) as client:
        try:
            for prompt in golden.prompts:
                step, started = prompt.id, time.monotonic()
                answer, sent = _answered(client, model, prompt)
                asked.append(sent)
                _check_whole(answer, version, validator)
                latencies_ms.append((time.monotonic() - started) * 1000)
            step = "the stream"
            body = _body(model, asked[0]) | {"stream": True}
            with client.stream("POST", _CHAT, json=body) as answer:
                _check_stream(answer, version)
        except (httpx.HTTPError, ValueError) as error:
            raise CandidateFailed(model, version, _reason(step, error)) from error
    median_ms, limit_ms = statistics.median(latencies_ms), golden.max_median_latency_ms
    if median_ms > limit_ms:
        reason = f"too slow: the median answer took {median_ms:.0f} ms, allowed {limit_ms:.0f} ms"
        raise CandidateFailed(model, version, reason)
    return median_ms


def _answered(client: httpx.Client, model: str, prompt: Prompt) -> tuple[httpx.Response, Prompt]:
    """Send a prompt, and again without a system message that the chat template declines."""
    answer = client.post(_CHAT, json=_body(model, prompt))
    if _is_declined(answer):
        prompt = prompt.without_system()
        answer = client.post(_CHAT, json=_body(model, prompt))
    return answer, prompt


def _is_declined(answer: httpx.Response) -> bool:
    if answer.status_code != httpx.codes.BAD_REQUEST:
        return False
    try:
        return bool(answer.json()["error"]["code"] == _DECLINED)
    except (KeyError, TypeError, ValueError):
        return False


def _reason(step: str, error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"too slow: no answer to {step} in time"
    return " ".join(f"{step}: {error or type(error).__name__}".split())[:300]


def _check_whole(answer: httpx.Response, version: int, validator: Draft202012Validator) -> None:
    _check_head(answer, version)
    document = answer.json()
    if fault := next(validator.iter_errors(document), None):
        raise ValueError(f"wrong answer shape: {fault.json_path}: {fault.message}")
    if not document["choices"][0]["message"]["content"].strip():
        raise ValueError("the answer is empty")


def _check_stream(answer: httpx.Response, version: int) -> None:
    _check_head(answer, version)
    if not "".join(list(_deltas(answer))).strip():
        raise ValueError("the streamed answer is empty")


def _deltas(answer: httpx.Response) -> Iterator[str]:
    """Yield the texts of a stream, which must end with ``[DONE]``."""
    for line in answer.iter_lines():
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        if data and line.startswith("data:"):
            document = json.loads(data)
            if "error" in document:
                raise ValueError(f"the stream broke off: {document['error'].get('message')}")
            for choice in document.get("choices", []):
                yield choice["delta"].get("content") or ""
    raise ValueError("the stream ended without [DONE]")


def _check_head(answer: httpx.Response, version: int) -> None:
    if answer.status_code != httpx.codes.OK:
        raise ValueError(f"status {answer.status_code}: {answer.read().decode()[:200]}")
    if (answered := answer.headers.get("X-Model-Version")) != str(version):
        raise ValueError(f"version {answered} answered")


def _body(model: str, prompt: Prompt) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [message.model_dump() for message in prompt.messages],
        "max_tokens": prompt.max_tokens,
        "temperature": 0,
    }
    return body | ({"stop": list(prompt.stop)} if prompt.stop else {})
