"""What travels over a connection: requests as asked, answers as parts that are sent in turn."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

from tests.support.hub.refusals import NotSupported, RangeNotSatisfiable

Json = dict[str, Any]
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it came in.

    Attributes:
        method: ``GET``, ``HEAD`` or ``POST``.
        target: The path as it was sent, percent-encoded, without the query.
        query: Values by name.
        span: The ``Range`` header; None asks for the whole.
        token: The bearer token; None when nobody signed in.
        form: Values of a posted form, by name.
    """

    method: str
    target: str
    query: Mapping[str, list[str]] = field(default_factory=dict)
    span: str | None = None
    token: str | None = None
    form: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path as a person reads it."""
        return unquote(self.target)

    def asks(self, name: str) -> bool:
        """Tell whether the switch ``name`` is on, in the query or in the form."""
        values = self.query.get(name) or self.form.get(name) or ["false"]
        return values[0].lower() in {"true", "1"}

    def number(self, name: str, default: int) -> int:
        """Return the number ``name`` of the query.

        Raises:
            NotSupported: It is not a whole number.
        """
        value = self.query.get(name, [str(default)])[0]
        if not value.isdecimal():
            raise NotSupported(f"{name}={value}")
        return int(value)

    def target_at(self, cursor: int) -> str:
        """Return path and query of the same request, from the item ``cursor`` on."""
        return f"{self.target}?{urlencode({**self.query, 'cursor': [str(cursor)]}, doseq=True)}"


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes ``start`` (included) to ``stop`` (not included) of a file, left on disk until sent."""

    path: Path
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def read(self) -> bytes:
        """Return the bytes."""
        with self.path.open("rb") as stream:
            stream.seek(self.start)
            return stream.read(len(self))


Chunk = bytes | FileSlice


@dataclass(frozen=True, slots=True)
class Response:
    """An answer.

    Attributes:
        status: HTTP status.
        headers: All but ``Content-Length``, which follows from the body.
        body: Chunks in the order in which they are sent.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: tuple[Chunk, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Length of the body."""
        return sum(len(chunk) for chunk in self.body)

    @property
    def head(self) -> "Head":
        """Status line and headers, as they are sent before the body."""
        return Head(self.status, {**self.headers, "Content-Length": str(self.size_bytes)})


@dataclass(frozen=True, slots=True)
class Head:
    """Send status line and headers."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for a while."""

    seconds: float


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection in good order, whatever was promised."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Drop the connection: the other side reads "connection reset by peer"."""


Part = Head | Chunk | Pause | HangUp | Reset


def split(body: tuple[Chunk, ...], at: int) -> tuple[tuple[Chunk, ...], tuple[Chunk, ...]]:
    """Cut ``body`` in two after ``at`` bytes."""
    before: list[Chunk] = []
    after: list[Chunk] = []
    for chunk in body:
        left, right = _split_chunk(chunk, min(at, len(chunk)))
        before.append(left)
        after.append(right)
        at -= len(left)
    return tuple(filter(len, before)), tuple(filter(len, after))


def _split_chunk(chunk: Chunk, at: int) -> tuple[Chunk, Chunk]:
    if isinstance(chunk, bytes):
        return chunk[:at], chunk[at:]
    middle = chunk.start + at
    return FileSlice(chunk.path, chunk.start, middle), FileSlice(chunk.path, middle, chunk.stop)


def asked_span(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Read a ``Range`` header.

    Returns:
        First byte (included) and last (not included); None when the whole file is to be sent, as
        for several ranges or one that makes no sense.

    Raises:
        RangeNotSatisfiable: The range begins at the file's end or after it.

    Source: RFC 9110, section 14.
    """
    match = RANGE.fullmatch(header or "")
    if (
        match is None
        or match[0] == "bytes=-"
        or (all(match.groups()) and int(match[1]) > int(match[2]))
    ):
        return None
    if match[1]:
        start, stop = int(match[1]), min(int(match[2] or size_bytes) + 1, size_bytes)
    else:
        start, stop = max(0, size_bytes - int(match[2])), size_bytes
    if start >= size_bytes:
        raise RangeNotSatisfiable(size_bytes)
    return start, stop


def parse_form(text: str) -> dict[str, list[str]]:
    """Read a query or a posted form; empty values are kept."""
    return parse_qs(text, keep_blank_values=True)
