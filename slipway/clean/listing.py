"""What people read of what goes: a row each, and one for all small files of a kind."""

from collections.abc import Iterable, Iterator, Sequence

from slipway.clean.home import PLAIN
from slipway.values import CleanDecision, Value


class GoneRow(Value):
    """What goes, in words."""

    kind: str
    name: str
    freed_bytes: int
    reason: str


def row(gone: CleanDecision) -> GoneRow:
    """Return one thing that goes."""
    return _row(gone.item.kind, gone.item.name, [gone], gone.reason)


def rows(gone: Sequence[CleanDecision]) -> Iterator[GoneRow]:
    """Yield what goes; a home has thousands of logs and results, which are counted."""
    yield from (row(each) for each in gone if each.item.kind not in PLAIN)
    for kind, folder in PLAIN.items():
        if several := [each for each in gone if each.item.kind == kind]:
            name = f"{len(several):,} files in {folder}"
            yield _row(kind, name, several, "not used for a while")


def _row(kind: str, name: str, gone: Iterable[CleanDecision], reason: str) -> GoneRow:
    freed = sum(each.freed_bytes for each in gone)
    return GoneRow(kind=kind, name=name, freed_bytes=freed, reason=reason)
