"""Who was champion when: the record of moves, folded. Pure."""

from collections.abc import Iterable
from datetime import datetime

from slipway.values import AliasChange, AuditInfo, ChampionPeriod

BY_HAND = AuditInfo(actor="unknown", reason="moved by hand, in the MLflow UI or through its API")


def champion_periods(
    moves: Iterable[AliasChange], champion: int | None
) -> tuple[ChampionPeriod, ...]:
    """Return every version that was champion, oldest first, the one that serves now last.

    Where a move began from another champion than the one before it had left, or where the alias is
    not where the last move left it, somebody moved the alias by hand in between.

    Args:
        moves: What was recorded, in any order.
        champion: Version that the alias points to now; None for none.
    """
    found: list[ChampionPeriod] = []
    holder: int | None = None
    for move in sorted(moves, key=lambda each: each.at):
        if move.before != holder:
            found.append(_by_hand(move.before))
        if move.after != move.before:
            found.append(_reign(move))
        holder = move.after
    if champion != holder:
        found.append(_by_hand(champion))
    return tuple(_ended(found))


def champion_at(moves: Iterable[AliasChange], champion: int | None, at: datetime) -> int | None:
    """Return the version that was champion at a moment: what the first move after it began from.

    Args:
        moves: What was recorded, in any order.
        champion: Version that the alias points to now; None for none.
        at: The moment.
    """
    later = [move for move in moves if move.at > at and move.after != move.before]
    return min(later, key=lambda move: move.at).before if later else champion


def _reign(move: AliasChange) -> ChampionPeriod:
    return ChampionPeriod(
        version=move.after,
        since=move.at,
        until=None,
        kind=move.kind,
        cause=move.cause,
        run_id=move.run_id,
    )


def _by_hand(version: int | None) -> ChampionPeriod:
    return ChampionPeriod(
        version=version, since=None, until=None, kind="by-hand", cause=BY_HAND, run_id=None
    )


def _ended(found: list[ChampionPeriod]) -> Iterable[ChampionPeriod]:
    """End each reign where the next one begins."""
    for reign, successor in zip(found, [*found, None][1:], strict=True):
        yield reign.model_copy(update={"until": successor.since}) if successor else reign
