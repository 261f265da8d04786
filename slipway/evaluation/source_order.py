"""Which of two sources is the older one: an older one does not replace a newer one by itself. Pure.

A commit is as old as the Hub says, wherever and whenever a release resolves it; the order in which
releases resolved two commits would call the one newer that somebody asked for last. Only where a
source has no commits, a package or a folder, that order counts: there is one content at a time.
"""

from slipway.values import Promoted, Rejected, SourceCommit, Verdict


def judge(verdict: Verdict, candidate: SourceCommit, *others: SourceCommit | None) -> Verdict:
    """Return ``verdict``; a rejection instead, if a candidate that passed is older than another.

    Args:
        verdict: Of the gates.
        candidate: What was tested.
        others: Of the champion, and of the candidate that waits for approval.
    """
    if not isinstance(verdict, Promoted):
        return verdict
    newer = [each for each in others if each and is_older(candidate, each)]
    return Rejected(reasons=(_in_words(candidate, newer[0]),)) if newer else verdict


def is_older(candidate: SourceCommit, other: SourceCommit) -> bool:
    """Return whether a source is older than another one of the same repository.

    Of two from the same moment, neither is older. Nor is one that an earlier version recorded,
    without a date.
    """
    if candidate.repo != other.repo or candidate.at is None or other.at is None:
        return False
    return candidate.at < other.at


def _in_words(candidate: SourceCommit, other: SourceCommit) -> str:
    return (
        f"its source {candidate} is older than {other}, which was released already; "
        "a release with --force and --reason promotes it anyway"
    )
