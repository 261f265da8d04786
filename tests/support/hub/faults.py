"""What may go wrong between a Hub and its client, ordered by path, method and count."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from tests.support.hub.messages import Chunk, HangUp, Part, Pause, Request, Reset, Response, split

Method = Literal["GET", "HEAD", "POST"]
PAGE = b"<!DOCTYPE html><title>Sign in</title><p>Sign in to use this network.</p>"
PADDING = b" " * 65536


Fault = Callable[[Response], tuple[Part, ...]]
"""Makes of an answer what is really sent, in order."""


def cut(after_bytes: int) -> Fault:
    """Close the connection after ``after_bytes`` of the body."""

    def spoil(response: Response) -> tuple[Part, ...]:
        sent, _ = split(response.body, after_bytes)
        return (response.head, *sent, HangUp())

    return spoil


def stall(seconds: float, after_bytes: int = 0) -> Fault:
    """Send nothing for a while, then go on.

    Args:
        seconds: How long.
        after_bytes: How much of the body is sent before; 0 holds back the headers too.
    """

    def spoil(response: Response) -> tuple[Part, ...]:
        if after_bytes == 0:
            return (Pause(seconds), response.head, *response.body)
        sent, held_back = split(response.body, after_bytes)
        return (response.head, *sent, Pause(seconds), *held_back)

    return spoil


def error_status(status: int, retry_after_seconds: int | None = None) -> Fault:
    """Answer with an HTTP error.

    Args:
        status: Such as 429, 500 or 503.
        retry_after_seconds: Value of ``Retry-After``; None sends none.
    """
    headers = {"Content-Type": "text/plain"}
    if retry_after_seconds is not None:
        headers["Retry-After"] = str(retry_after_seconds)
    failed = Response(status, headers, (b"ordered by a fault",))
    return lambda _response: (failed.head, *failed.body)


def meanwhile(action: Callable[[], object]) -> Fault:
    """Let something happen, such as a push, once the answer is fixed and before it is sent."""

    def spoil(response: Response) -> tuple[Part, ...]:
        action()
        return (response.head, *response.body)

    return spoil


def wrong_bytes(response: Response) -> tuple[Part, ...]:
    """Invert the byte in the middle of the body: same size, same headers, other content."""
    before, rest = split(response.body, response.size_bytes // 2)
    middle, after = split(rest, 1)
    return (response.head, *before, *map(_inverted, middle), *after)


def html_page(response: Response) -> tuple[Part, ...]:
    """Send a web page of the body's size, as a network that wants a sign-in does."""
    repeats = response.size_bytes // len(PADDING) + 1
    page, _ = split((PAGE, *(PADDING,) * repeats), response.size_bytes)
    headers = {**response.headers, "Content-Type": "text/html"}
    return (Response(response.status, headers, page).head, *page)


def connection_reset(_response: Response) -> tuple[Part, ...]:
    """Drop the connection without an answer."""
    return (Reset(),)


@dataclass(slots=True)
class Order:
    """A fault that was ordered, and what became of it.

    Attributes:
        fault: What happens to a request that it meets.
        path: Shell pattern of the path, such as ``*/config.json``; ``*`` stands for slashes too.
        method: Which requests it meets; None meets all.
        count: How many requests it meets; None never ends.
        skip: How many matching requests pass before it meets the first.
        met: How many requests it has met.
    """

    fault: Fault
    path: str
    method: Method | None
    count: int | None
    skip: int
    met: int = field(default=0, init=False)

    def takes(self, request: Request) -> bool:
        """Tell whether this order meets ``request``, and count it."""
        if self.method not in {None, request.method} or not fnmatchcase(request.path, self.path):
            return False
        if self.met == self.count:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.met += 1
        return True


class Faults:
    """The orders of a running Hub; threads may use it side by side."""

    def __init__(self) -> None:
        self._orders: list[Order] = []
        self._lock = threading.Lock()

    def add(
        self,
        fault: Fault,
        path: str = "*",
        *,
        method: Method | None = "GET",
        count: int | None = 1,
        skip: int = 0,
    ) -> Order:
        """Order ``fault`` for the next requests that match; an older order goes first.

        Args:
            fault: What happens.
            path: Shell pattern of the path, without the query; ``*`` also stands for slashes.
            method: Which requests; None means all.
            count: How many of them; None means for good.
            skip: How many matching requests pass before.

        Returns:
            The order, whose ``met`` says how often it has happened.
        """
        order = Order(fault, path, method, count, skip)
        with self._lock:
            self._orders.append(order)
        return order

    def clear(self) -> None:
        """Withdraw all orders."""
        with self._lock:
            self._orders.clear()

    def parts(self, request: Request, response: Response) -> tuple[Part, ...]:
        """Return what to send for ``response``, which may be what a fault makes of it."""
        with self._lock:
            order = next((order for order in self._orders if order.takes(request)), None)
        # Not under the lock: a fault may push, and so take as long as it likes.
        return order.fault(response) if order else (response.head, *response.body)


def _inverted(chunk: Chunk) -> bytes:
    content = chunk if isinstance(chunk, bytes) else chunk.read()
    return bytes(byte ^ 0xFF for byte in content)
