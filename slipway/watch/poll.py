"""Polls the sources of many entries at once, and spares the servers."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from slipway import keys
from slipway.errors import Unreachable
from slipway.sources import checkpoint, hub, hub_client
from slipway.values import Entry, LastSeen, Revision, SourceState, WatchResult
from slipway.watch import policy

ATTEMPTS = 3
WORKERS = 4

Answer = TypeVar("Answer")


@dataclass
class RetryPolicy:
    """Retries with backoff against one server, and honours its Retry-After across threads.

    Attributes:
        wait_seconds: Wait after a first failure; it doubles with the next.
        longest_seconds: Longest wait; a server that asks for a longer one is not asked again now.
    """

    wait_seconds: float = 2.0
    longest_seconds: float = 60.0
    _closed_until: float = field(default=0.0, init=False)
    _why: Unreachable | None = field(default=None, init=False)

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Return what ``question`` returns, repeated if the server does not answer.

        Raises:
            Unreachable: If it never does, or asks for a longer wait than ``longest_seconds``.
        """
        for attempt in range(ATTEMPTS - 1):
            try:
                return self._once(question)
            except Unreachable:
                if self._remaining_seconds() > self.longest_seconds:
                    raise
            time.sleep(self.wait_seconds * 2**attempt)
        return self._once(question)

    def _once(self, question: Callable[[], Answer]) -> Answer:
        remaining_seconds = self._remaining_seconds()
        if self._why and remaining_seconds > self.longest_seconds:
            raise self._why  # the server asked another thread to wait, so this one waits too
        time.sleep(remaining_seconds)
        try:
            return question()
        except Unreachable as error:
            if seconds := hub_client.retry_after_seconds(error):
                self._why, self._closed_until = error, time.monotonic() + seconds
            raise

    def _remaining_seconds(self) -> float:
        return max(0.0, self._closed_until - time.monotonic())


def poll(
    entries: Sequence[Entry],
    remembered: Mapping[str, LastSeen],
    retry_policy: Callable[[], RetryPolicy] = RetryPolicy,
) -> tuple[SourceState | WatchResult, ...]:
    """Return the state of the source of every entry, in their order.

    Args:
        entries: Whose sources are polled.
        remembered: What the last poll found, by name of the entry.
        retry_policy: Makes the policy for one server.

    Returns:
        The state; or, of a source that does not answer, what follows from that.
    """
    policies: defaultdict[str | None, RetryPolicy] = defaultdict(retry_policy)
    for entry in entries:
        policies[_endpoint(entry)]  # made here, since threads share them
    with ThreadPoolExecutor(WORKERS) as workers:
        polls = [
            workers.submit(_poll, entry, remembered.get(entry.name), policies[_endpoint(entry)])
            for entry in entries
        ]
        return tuple(each.result() for each in polls)


def _poll(entry: Entry, before: LastSeen | None, server: RetryPolicy) -> SourceState | WatchResult:
    try:
        commits = server.ask(lambda: hub.heads(entry))
        identity = keys.entry_digest(entry)
        if before and (before.commits, before.entry) == (commits, identity):
            revision = before.revision
        else:
            revision = server.ask(lambda: checkpoint.resolve(entry))
    except Exception as error:  # noqa: BLE001 - one entry's trouble is the row of that entry
        return policy.unanswered(entry.name, error)
    now = LastSeen(commits=_commits(revision), entry=identity, revision=revision)
    return SourceState(model=entry.name, now=now, before=before)


def _commits(revision: Revision) -> tuple[str, ...]:
    published = (each.commit for each in revision.published)
    return (revision.commit, *dict.fromkeys(published))  # one repository, at one commit


def _endpoint(entry: Entry) -> str | None:
    return entry.source.endpoint if entry.source.kind == "hub" else None
