"""The report's tables about the champion: what changed since, and what it answers better."""

from collections.abc import Sequence

from slipway.evaluation import units
from slipway.report.prose import plain, table
from slipway.values import Change, Regression

MOST_CHANGES, MOST_REGRESSIONS = 30, 12


def changes_table(changes: Sequence[Change]) -> str:
    """Return what is not as it was, one row each."""
    rows = [
        (plain(change.what), _side(change.before), _side(change.after))
        for change in changes[:MOST_CHANGES]
    ]
    shown = table(("What", "Champion", "Candidate"), rows)
    if len(changes) <= MOST_CHANGES:
        return shown
    rest = len(changes) - MOST_CHANGES
    return f"{shown}\n\n{rest} more: compare `manifest.json` among both MLflow runs' artifacts."


def regressions_table(regressions: Sequence[Regression]) -> str:
    """Return the prompts that the champion answers better, with both answers."""
    rows = [
        (plain(each.prompt_id), plain(each.what), plain(each.champion), plain(each.candidate))
        for each in regressions[:MOST_REGRESSIONS]
    ]
    shown = table(("Prompt", "The champion's is", "Champion", "Candidate"), rows)
    rest = len(regressions) - len(rows)
    return f"{shown}\n\n{rest} more: see `predictions.json`." if rest else shown


def _side(text: str | None) -> str:
    return units.ABSENT if text is None else plain(text)
