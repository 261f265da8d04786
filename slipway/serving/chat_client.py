"""A client of a model server's chat route: streams an answer and measures what a person sees."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from slipway.errors import AnswerRefused, NoModelServer
from slipway.values import Value

_CONNECT_SECONDS = 5.0
_SIGN_IN = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})
_HINT = "; set SLIPWAY_SERVE_KEY to a key of this server"

Message = Mapping[str, str]


class ServedModel(Value):
    """What a server says about a model."""

    id: str
    version: int | None = None
    digest: str | None = None

    def __str__(self) -> str:
        return self.id if self.version is None else f"{self.id} v{self.version}"


class AnswerFigures(Value):
    """How an answer was generated, as its client saw it.

    Attributes:
        version: The version that answered.
        tokens: Of the answer.
        first_seconds: From the request to the first piece of text; None without any text.
        tokens_per_second: From the first piece to the last; None for fewer than two tokens.
        finish_reason: OpenAI's, such as ``stop`` or ``length``.
    """

    version: str | None
    tokens: int | None
    first_seconds: float | None
    tokens_per_second: float | None
    finish_reason: str | None

    def __str__(self) -> str:
        parts = (
            self.version and f"v{self.version}",
            self.tokens is not None and f"{self.tokens} tokens",
            self.tokens_per_second and f"{self.tokens_per_second:.1f} tokens/s",
            self.first_seconds is not None and f"first token after {self.first_seconds:.2f} s",
            self.finish_reason,
        )
        return " · ".join(part for part in parts if part)


class ChatClient:
    """Talks to one model of one server.

    Args:
        url: The server's address, with or without ``/v1``.
        model: Its name there.
        key: Sent as ``Authorization: Bearer``; empty for none.
        seconds: Longest silence of the server while it answers.
    """

    def __init__(self, url: str, model: str, key: str, seconds: float) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.model = model
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = httpx.Timeout(seconds, connect=_CONNECT_SECONDS)

    def served(self) -> ServedModel:
        """Return what the server says about the model now.

        Raises:
            NoModelServer: If nothing answers.
            AnswerRefused: If the server has no such model, or wants a key.
        """
        with self._response("GET", f"/v1/models/{quote(self.model, safe='')}") as response:
            response.read()
            card = self._document(response)
        known = {name: card[name] for name in ("version", "digest") if name in card}
        return ServedModel(id=card.get("id", self.model), **known)

    def answer(
        self, messages: Iterable[Message], max_tokens: int | None = None
    ) -> Iterator[str | AnswerFigures]:
        """Yield the pieces of an answer as they come, and its figures last.

        Raises:
            NoModelServer: If nothing answers, or the connection breaks.
            AnswerRefused: If the server answers with an error.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if max_tokens is not None:
            body["max_tokens"] = max_tokens
        started = time.monotonic()
        with self._response("POST", "/v1/chat/completions", json=body) as response:
            yield from self._pieces(response, started)

    def _pieces(self, response: httpx.Response, started: float) -> Iterator[str | AnswerFigures]:
        first = last = tokens = finish_reason = None
        for chunk in _chunks(response.iter_text()):
            if "error" in chunk:
                raise self._refused(chunk)
            tokens = (chunk.get("usage") or {}).get("completion_tokens", tokens)
            for choice in chunk.get("choices", ()):
                finish_reason = choice.get("finish_reason") or finish_reason
                if text := (choice.get("delta") or {}).get("content"):
                    last = time.monotonic()
                    first = first or last
                    yield text
        seconds = last - first if first and last else 0.0
        yield AnswerFigures(
            version=response.headers.get("x-model-version"),
            tokens=tokens,
            first_seconds=first and first - started,
            tokens_per_second=(tokens - 1) / seconds if tokens and seconds else None,
            finish_reason=finish_reason,
        )

    @contextmanager
    def _response(self, method: str, path: str, json: Any = None) -> Iterator[httpx.Response]:
        """Give the response to a request; leaving the block early ends the server's work on it."""
        url, headers = f"{self.url}{path}", self._headers
        try:
            with httpx.stream(
                method, url, json=json, headers=headers, timeout=self._timeout
            ) as response:
                if not response.is_success:
                    response.read()
                    raise self._refused(self._document(response), response.status_code)
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise NoModelServer(self.url, reason, self.model) from error

    def _document(self, response: httpx.Response) -> dict[str, Any]:
        """Return a JSON object; a server of something else answers with something else."""
        try:
            found = response.json()
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
        if response.is_success:
            raise NoModelServer(self.url, "it answers with something else", self.model)
        return {"error": {"message": f"status {response.status_code}"}}

    def _refused(self, document: dict[str, Any], status: int = 0) -> AnswerRefused:
        error = document.get("error")
        message = error.get("message") if isinstance(error, dict) else None
        text = str(message or document.get("detail") or "an error without a message")
        return AnswerRefused(self.url, text + (_HINT if status in _SIGN_IN else ""))


def _chunks(pieces: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the JSON of server-sent events.

    httpx's ``iter_lines`` also ends a line at U+2028, which JSON texts may contain.
    """
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        for line in lines:
            data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
            if data and data != "[DONE]":
                yield json.loads(data)
