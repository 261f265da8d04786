"""Ends a process in the middle of what it does, as a test sees it."""

from itertools import count
from typing import Any

import pytest


class Killed(BaseException):
    """The process ends here: nothing of ours runs after it."""


def killed(*_: object) -> None:
    """Take the place of a step, and end the process there."""
    raise Killed


def kill_after(
    calls: int, client: Any, methods: tuple[str, ...], patch: pytest.MonkeyPatch
) -> None:
    """Let a client do this many calls of these methods; the next one ends the process instead."""
    done = count()

    def once(method: Any) -> Any:
        def call(*arguments: Any) -> Any:
            if next(done) == calls:
                raise Killed
            return method(*arguments)

        return call

    for name in methods:
        patch.setattr(client, name, once(getattr(client, name)))
