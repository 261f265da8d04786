"""The watch after a switch: does the new version fail more, or answer later, than it may?

Pure. What a version did is the difference of two states of the server's counters. Ten looks are
taken at one switch, so each is as sure as 99 % (Clopper and Pearson, 1934).
"""

from datetime import timedelta
from typing import Annotated, Literal

import scipy
from pydantic import AwareDatetime, Field

from slipway.redeploy.values import ServedFigures
from slipway.values import Record, SwitchLimits, Value

#: Looks at one switch.
LOOKS = 10

_LEAST = 20  # requests without which nothing is said
_DOUBT = 0.01
_SLOW_SHARE = 0.05  # beyond the 95th percentile


class WatchedSwitch(Record):
    """A switch that is being watched, as the file beside the pointer has it.

    Attributes:
        model: Name of the registered model.
        version: Version that began to serve.
        before: Version that served until then.
        at: When the switch began.
        server: Process of the server; the counters of another one begin at zero.
        start: What the server had counted of ``version`` then.
        reference: What it had counted of ``before``.
    """

    model: str
    version: int
    before: int
    at: AwareDatetime
    server: int
    start: ServedFigures
    reference: ServedFigures

    def next_look(
        self, limits: SwitchLimits, now: AwareDatetime
    ) -> tuple[int, AwareDatetime] | None:
        """Return the number of the next look and when it is due; beyond ``LOOKS`` if one failed.

        None once twice the time has passed: ``reconcile`` looks from then on.
        """
        step = timedelta(minutes=limits.minutes) / LOOKS
        number = (now - self.at) // step + 1
        return (number, self.at + number * step) if number <= 2 * LOOKS else None


class Registered(Value):
    """What the registry says now.

    Attributes:
        champion: Version that the alias names.
        obstacle: Why ``before`` may not serve; None if it may.
    """

    champion: int | None
    obstacle: str | None


class KeepWatching(Value):
    """There is no verdict yet."""

    kind: Literal["keep_watching"] = "keep_watching"
    reason: str


class WatchEnded(Value):
    """The watch is over; the version stays."""

    kind: Literal["watch_ended"] = "watch_ended"
    reason: str


class RollBackSwitch(Value):
    """This version is to be rolled back; the reason has the figures."""

    kind: Literal["roll_back_switch"] = "roll_back_switch"
    version: int
    reason: str


WatchVerdict = Annotated[KeepWatching | WatchEnded | RollBackSwitch, Field(discriminator="kind")]


def judge(
    switch: WatchedSwitch,
    limits: SwitchLimits,
    registered: Registered,
    now: AwareDatetime,
    figures: ServedFigures,
) -> WatchVerdict:
    """Decide what becomes of a switch.

    A limit counts as exceeded only where the version is also worse than the one before it. What
    that one did is what it had done until the switch.

    Args:
        switch: The switch.
        limits: Of the entry.
        registered: What the registry says.
        now: The time.
        figures: What the version did since the switch.
    """
    if registered.champion != switch.version:
        return WatchEnded(reason=f"version {switch.version} is not the champion any more")
    if registered.obstacle:
        reason = f"version {switch.before}, which served before, {registered.obstacle}"
        return WatchEnded(reason=reason)
    faults = (
        _failures(limits, figures, switch.reference),
        _slow(limits, figures, switch.reference),
    )
    if found := [fault for fault in faults if fault]:
        return RollBackSwitch(version=switch.version, reason="; ".join(found))
    seen = f"{figures.answered} of {figures.requests} requests were answered"
    if now < switch.at + timedelta(minutes=limits.minutes):
        return KeepWatching(reason=seen)
    doubt = f"; no verdict on fewer than {_LEAST}" if figures.requests < _LEAST else ""
    return WatchEnded(reason=f"{seen} within {limits.minutes:g} minutes{doubt}")


def _failures(limits: SwitchLimits, now: ServedFigures, before: ServedFigures) -> str | None:
    """Return in words that more requests failed than may, and than before; None if not."""
    if limits.error_rate is None or now.requests < _LEAST:
        return None
    allowed = max(limits.error_rate, before.failed / max(before.requests, 1))
    if not _surely_more(now.failed, now.requests, allowed):
        return None
    return (
        f"{now.failed} of {now.requests} requests failed (limit {limits.error_rate:.1%}; "
        f"of the version before {before.failed} of {before.requests})"
    )


def _slow(limits: SwitchLimits, now: ServedFigures, before: ServedFigures) -> str | None:
    """Return in words that first tokens come later than they may, and than before.

    Without enough answers of the version before, nothing is slower than that.
    """
    if limits.p95_ttft_ms is None or min(now.answered, before.answered) < _LEAST:
        return None
    earlier = before.quantile(1 - _SLOW_SHARE)
    allowed = max(limits.p95_ttft_ms / 1000, earlier)
    late = now.answered - now.answered_within(allowed)
    if not _surely_more(int(late), now.answered, _SLOW_SHARE):
        return None
    p95 = now.quantile(1 - _SLOW_SHARE)
    return (
        f"95 % of first tokens came within {p95 * 1000:.0f} ms (limit {limits.p95_ttft_ms:.0f} ms; "
        f"of the version before {earlier * 1000:.0f} ms; {now.answered} answers)"
    )


def _surely_more(cases: int, total: int, share: float) -> bool:
    """Return whether the true share of ``cases`` is larger than ``share``, one-sided."""
    return cases > 0 and float(scipy.stats.beta.ppf(_DOUBT, cases, total - cases + 1)) > share
