"""Clients that send requests without a pause, and record how each ended."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

PLAIN = {
    "messages": [{"role": "user", "content": "What is the capital of Spain?"}],
    "max_tokens": 8,
}
STREAMED = {
    "messages": [{"role": "user", "content": "Tell me a joke."}],
    "max_tokens": 63,
    "stream": True,
}


@dataclass(frozen=True)
class Outcome:
    """How one request ended.

    Attributes:
        version: Of its header; None if there was no header.
        text: The answer.
        seconds: Duration.
        fault: Why it failed; None if it did not.
    """

    streamed: bool
    version: str | None
    text: str
    seconds: float
    fault: str | None


@dataclass
class Traffic:
    """The requests so far."""

    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """The requests that failed."""
        return [str(each) for each in self.outcomes if each.fault]

    @property
    def streams(self) -> list[Outcome]:
        """The streamed requests."""
        return [each for each in self.outcomes if each.streamed]

    def wait_for(self, count: int) -> None:
        """Wait until so many requests have ended: fewer prove nothing."""
        deadline = time.monotonic() + 60
        while len(self.outcomes) < count:
            assert time.monotonic() < deadline, "no request is answered"
            time.sleep(0.05)

    @property
    def versions(self) -> Counter[str | None]:
        """The number of requests that each version answered."""
        return Counter(each.version for each in self.outcomes)


@contextmanager
def traffic(
    url: str, *, plain: int = 2, streaming: int = 2, pause_seconds: float = 0.02
) -> Iterator[Traffic]:
    """Send requests to ``url`` while the body runs.

    Args:
        url: The server.
        plain: Clients that request whole answers, one after the other.
        streaming: Clients that request streams. Of both, every other one keeps its connection.
        pause_seconds: Between an answer and the next request of the same client.
    """
    sent, enough = Traffic(), threading.Event()
    threads = [
        threading.Thread(
            target=_ask, args=(url, body, sent, enough, pause_seconds, number % 2 == 0)
        )
        for body, count in ((PLAIN, plain), (STREAMED, streaming))
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    try:
        yield sent
    finally:
        enough.set()
        for thread in threads:
            thread.join(60)


def _ask(  # noqa: PLR0917 - a thread's arguments
    url: str,
    body: dict[str, Any],
    sent: Traffic,
    enough: threading.Event,
    pause_seconds: float,
    keep: bool,
) -> None:
    limits = httpx.Limits(max_keepalive_connections=1 if keep else 0)
    with httpx.Client(base_url=url, timeout=60, limits=limits, trust_env=False) as client:
        while not enough.is_set():
            sent.outcomes.append(once(client, body))
            time.sleep(pause_seconds)


def once(client: httpx.Client, body: dict[str, Any]) -> Outcome:
    """Send one request; never raises."""
    started, version, text, fault = time.monotonic(), None, "", None
    streamed = bool(body.get("stream"))
    try:
        with client.stream("POST", "/v1/chat/completions", json={"model": "tiny", **body}) as reply:
            version = reply.headers.get("X-Model-Version")
            if reply.status_code == 200:
                text = _streamed(reply) if streamed else _whole(reply)
            else:
                fault = f"status {reply.status_code}: {reply.read().decode()}"
    except (httpx.HTTPError, ValueError, LookupError) as error:
        fault = f"{type(error).__name__}: {error}"
    return Outcome(streamed, version, text, time.monotonic() - started, fault)


def _whole(reply: httpx.Response) -> str:
    return str(json.loads(reply.read())["choices"][0]["message"]["content"])


def _streamed(reply: httpx.Response) -> str:
    lines = [line.removeprefix("data: ") for line in reply.iter_lines() if line]
    if lines[-1] != "[DONE]":
        raise ValueError(f"the stream ended with {lines[-1][:80]}")
    chunks = [json.loads(line) for line in lines[:-1]]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    if choices[-1]["finish_reason"] not in {"stop", "length"}:
        raise ValueError("the stream ended without a finish reason")
    return "".join(choice["delta"].get("content") or "" for choice in choices)
