"""What the sources have, what is known of it already, and what follows from that."""

from typing import Literal

from pydantic import Field

from slipway.values.base import Value
from slipway.values.sources import Revision

#: What became of a flow run that was started for a release.
RunState = Literal["running", "failed", "ended", "cancelled"]
WatchState = Literal[
    "released", "new", "ignored", "waiting", "unreachable", "refused", "quarantined"
]


class LastSeen(Value):
    """What the last poll found, as it is remembered.

    Attributes:
        commits: Heads of the entry's repositories, each 40 hex digits: the source's, and that of
            the recipe's where it selects. A source that is not on a Hub has its own commit here.
        entry: Digest of the entry that was polled.
    """

    commits: tuple[str, ...]
    entry: str
    revision: Revision


class SourceState(Value):
    """A source that answered.

    Attributes:
        before: What it had at the last poll; None at the first.
    """

    model: str
    now: LastSeen
    before: LastSeen | None

    @property
    def moved(self) -> bool:
        """Whether there is another commit than at the last poll."""
        return self.before is not None and self.before.commits != self.now.commits


class ReleaseStatus(Value):
    """What is known of a release key.

    Attributes:
        refused: Why it was rejected; None if it was not. Likewise ``quarantined``.
        attempts: What became of the flow runs that were started for it, in any order.
    """

    released: bool = False
    waiting: bool = False
    refused: str | None = None
    quarantined: str | None = None
    attempts: tuple[RunState, ...] = ()


class WatchResult(Value):
    """What one poll found at one entry's source, and what follows from it.

    Attributes:
        commit: The source's commit; None if the source did not answer, as the next two.
        state: ``released``: there is nothing to do; ``ignored``: a new commit, of which a release
            uses nothing new; ``new``: a release is started; ``waiting``: polled again next time;
            ``unreachable``: the source does not answer, or is gone; ``refused`` and
            ``quarantined``: it was decided before that this may not serve.
        attempt: Which attempt at the release is started, from 1; None unless the state is ``new``.
    """

    model: str
    commit: str | None = None
    digest: str | None = None
    key: str | None = None
    state: WatchState
    reason: str
    attempt: int | None = Field(default=None, ge=1)
