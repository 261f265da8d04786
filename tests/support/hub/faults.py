"""What may go wrong between a Hub and its client, selected by path, method and count."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal

Method = Literal["GET", "HEAD"]
PAGE = b"<!DOCTYPE html><title>Sign in</title><p>Sign in to use this network.</p>"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and what goes wrong while it is sent.

    Attributes:
        status: HTTP status.
        headers: By name in lower case.
        body: All of it.
        interrupted_at: How many bytes of the body are sent before the interruption; None
            interrupts before the headers.
        pause_seconds: How long the interruption lasts.
        dropped: How the connection ends after the interruption: ``closed`` in good order, or
            ``reset`` by peer; None sends the rest.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    interrupted_at: int | None = None
    pause_seconds: float = 0.0
    dropped: Literal["closed", "reset"] | None = None

    @property
    def logged_status(self) -> int | None:
        """The status that the client gets; None if the connection ends before it."""
        return None if self.dropped and self.interrupted_at is None else self.status


Fault = Callable[[Answer], Answer]


def cut(after_bytes: int) -> Fault:
    """Close the connection after ``after_bytes`` of the body."""
    return lambda answer: replace(answer, interrupted_at=after_bytes, dropped="closed")


def stall(seconds: float, after_bytes: int = 0) -> Fault:
    """Send nothing for a while, then go on.

    Args:
        seconds: How long.
        after_bytes: How much of the body is sent before; 0 holds back the headers too.
    """
    return lambda answer: replace(answer, interrupted_at=after_bytes or None, pause_seconds=seconds)


def error_status(status: int, retry_after_seconds: int | None = None) -> Fault:
    """Answer with an HTTP error.

    Args:
        status: Such as 429, 500 or 503.
        retry_after_seconds: Value of ``Retry-After``; None sends none.
    """
    headers = {"content-type": "text/plain"}
    if retry_after_seconds is not None:
        headers["retry-after"] = str(retry_after_seconds)
    return lambda _answer: Answer(status, headers, b"an error of a test")


def meanwhile(action: Callable[[], object]) -> Fault:
    """Let something happen, such as a push, after the answer is made and before it is sent."""

    def after_action(answer: Answer) -> Answer:
        action()
        return answer

    return after_action


def wrong_bytes(answer: Answer) -> Answer:
    """Invert the byte in the middle of the body: same size, same headers, other content."""
    body = bytearray(answer.body)
    body[len(body) // 2] ^= 0xFF
    return replace(answer, body=bytes(body))


def html_page(answer: Answer) -> Answer:
    """Send a web page of the body's size, as a network that wants a sign-in does."""
    size_bytes = len(answer.body)
    headers = {**answer.headers, "content-type": "text/html"}
    return replace(answer, headers=headers, body=PAGE[:size_bytes].ljust(size_bytes))


def connection_reset(answer: Answer) -> Answer:
    """Reset the connection before the headers."""
    return replace(answer, dropped="reset")


@dataclass(slots=True)
class Order:
    """A fault, the requests that it applies to, and how often it did.

    Attributes:
        fault: What happens.
        path: Shell pattern of the path, such as ``*/config.json``; ``*`` also matches slashes.
        method: The method; None matches all.
        count: How many requests it applies to; None for all.
        met: How many requests it has applied to.
    """

    fault: Fault
    path: str
    method: Method | None
    count: int | None
    met: int = field(default=0, init=False)

    def takes(self, method: str, path: str) -> bool:
        """Return whether the fault applies to a request, and count it."""
        if self.method not in {None, method} or not fnmatchcase(path, self.path):
            return False
        if self.met == self.count:
            return False
        self.met += 1
        return True


class Faults:
    """The faults of a running Hub; threads may add them at any time."""

    def __init__(self) -> None:
        self._orders: list[Order] = []
        self._lock = threading.Lock()

    @property
    def orders(self) -> tuple[Order, ...]:
        """All that were added and not cleared."""
        return tuple(self._orders)

    def add(
        self,
        fault: Fault,
        path: str = "*",
        *,
        method: Method | None = "GET",
        count: int | None = 1,
    ) -> Order:
        """Apply ``fault`` to the next requests that match; see :class:`Order` for the arguments.

        Of several faults that match a request, the one that was added first applies.
        """
        order = Order(fault, path, method, count)
        with self._lock:
            self._orders.append(order)
        return order

    def clear(self) -> None:
        """Withdraw all faults."""
        with self._lock:
            self._orders.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that applies to a request, and count it."""
        with self._lock:
            order = next((each for each in self._orders if each.takes(method, path)), None)
        return order.fault if order else None
