"""How often a key may be used, counted over all processes of a home.

A bucket of requests that is full at first and fills evenly: the generic cell rate algorithm (GCRA,
ITU-T I.371), which needs only the time at which the bucket is full again. That time is in a file
of each key, eight bytes, under a lock.
"""

import fcntl
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_MINUTE = 60.0
_TIME = struct.Struct("<d")


@dataclass(frozen=True)
class RateState:
    """A key's bucket after a request.

    Attributes:
        limit: Requests a minute.
        remaining: Requests that may follow at once.
        full_seconds: Until nothing of the limit is used.
        wait_seconds: Until a request is allowed; 0 if this one was.
    """

    limit: int
    remaining: int
    full_seconds: float
    wait_seconds: float


class RequestRates:
    """Counts the requests of each key.

    Args:
        folder: Has one file a key.
        now: Seconds on a clock that all processes of this machine share.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._now = now

    def take(self, name: str, per_minute: int) -> RateState:
        """Count a request, unless the key has to wait."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            stored, now = os.pread(file, _TIME.size, 0), self._now()
            full_at = _TIME.unpack(stored)[0] if len(stored) == _TIME.size else now
            full_at, state = _taken(full_at, now, per_minute)
            os.pwrite(file, _TIME.pack(full_at), 0)
        finally:
            os.close(file)
        return state


def _taken(full_at: float, now: float, per_minute: int) -> tuple[float, RateState]:
    """Return when the bucket is full after a request, and its state. Pure.

    A time beyond a minute from now is of a clock before the machine's last start.
    """
    used = full_at - now if now < full_at <= now + _MINUTE else 0.0
    interval = _MINUTE / per_minute
    if (wait := used + interval - _MINUTE) > 1e-6:  # noqa: PLR2004 - a microsecond: rounding
        return now + used, RateState(per_minute, 0, used, wait)
    used += interval
    remaining = int((_MINUTE - used) / interval + 1e-6)
    return now + used, RateState(per_minute, remaining, used, 0.0)
