"""Limits of the connections to our servers: uvicorn 0.54 waits without end for its clients.

That is, for the head and the body of a request, and for a client that does not read. Its
``limit_concurrency`` counts silent connections as well: a few hundred of them make it refuse
everybody's requests. Here a connection whose client keeps the server waiting is aborted, after a
while or as soon as a new one needs its place.
"""

import resource
from asyncio import TimerHandle, Transport
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from slipway.system.network import is_allowed_host

#: Most open connections of one process; fewer where it may not open so many files.
CONNECTIONS = 500
#: Longest wait for a client, by what it has to do.
SECONDS: dict[str, float] = {
    "send a head": 10.0,  # from the connection, or from the answer before
    "send a body": 30.0,  # from the head
    "read": 30.0,  # until the buffer of unsent bytes has shrunk
    "close": 10.0,  # until the last bytes are read
}

_CHECK_SECONDS = 1.0
_FILES = 8192  # open files of one process
_BACKLOG = 256  # connections that asyncio accepts at once, before this module hears of them
_OTHER_FILES = 64

#: Arguments of ``uvicorn.Config`` for each of our servers.
SERVER_LIMITS: dict[str, Any] = {
    "http": "slipway.system.connections:LimitedConnection",
    "ws": "none",  # a web socket would leave the limits
    "h11_max_incomplete_event_size": 16384,
    "backlog": _BACKLOG,
}


class LimitedConnection(H11Protocol):
    """A connection that does not wait for its client without end."""

    _reads = 0
    _timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take the place of the connection that has waited longest, if there are too many."""
        super().connection_made(transport)
        self._state, self._since = self._now(), self.loop.time()
        self._check()
        if len(self.connections) > most_connections():
            ours = (each for each in self.connections if isinstance(each, LimitedConnection))
            waiting = [each for each in ours if each.duty]
            min(waiting, key=lambda each: each.waits_since, default=self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Note that the client reads."""
        self._reads += 1
        super().resume_writing()

    @property
    def duty(self) -> str | None:
        """What the client has to do; None while it is the server's turn."""
        if self.transport.is_closing():
            return "close"
        if self.cycle is None or self.cycle.response_complete:
            return "send a head"
        if self.flow.write_paused:
            return "read"
        return "send a body" if self.cycle.more_body else None

    @property
    def waits_since(self) -> float:
        """When the present wait was noticed, on the loop's clock."""
        return self._since if self._state == self._now() else self.loop.time()

    def _now(self) -> tuple[str | None, object, int]:
        return self.duty, self.cycle, self._reads

    def _check(self) -> None:
        """Abort the connection if its client lets the server wait too long."""
        now, duty = self.loop.time(), self.duty
        if self._state != self._now():
            self._state, self._since = self._now(), now
        elif duty and now - self._since > SECONDS[duty]:
            self.transport.abort()
            return
        self._timer = self.loop.call_later(_CHECK_SECONDS, self._check)


def most_connections() -> int:
    """Return how many connections this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = CONNECTIONS if soft == resource.RLIM_INFINITY else soft - _BACKLOG - _OTHER_FILES
    return max(1, min(CONNECTIONS, free))


def is_for(scope: Scope, allowed: frozenset[str]) -> bool:
    """Tell whether a request's ``Host`` names this server; see ``is_allowed_host``.

    Args:
        scope: The ASGI scope of the request. The address that it was sent to is allowed as well.
        allowed: The server's names.
    """
    own = {str(scope["server"][0])} if scope.get("server") else set()
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    return len(hosts) == 1 and is_allowed_host(hosts[0], allowed | own)


def allow_many_files() -> None:
    """Raise the soft limit of open files, which is 1024 on most systems, for this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
