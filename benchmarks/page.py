"""docs/benchmarks.md: every figure that was measured, as tables and plots, and nothing else."""

import tomllib
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from benchmarks import plots
from benchmarks.figure import Bar, Figure, Measured, Sample

_REASONS = Path(__file__).with_name("reasons.toml")
_UNKNOWN = "not profiled yet"
_TIMES = "\u00d7"
_HEAD = """\
# Benchmarks

`make bench` measures all of this and writes this page; `make bench FIGURE=name` renews one figure.
Nothing else may run on the machine meanwhile. What is compared runs in turn, in the same run.
Values are medians, with the lowest and the highest round in brackets. A *floor* is the least that
the work needs, run bare; a *peer* is another program that does the same; a *bar* is what
we require.
"""
_COLUMNS = ("figure", "value", "floor or peer", "ratio", "bar", "reached")


def write(results: Path, names: Sequence[str], document: Path) -> None:
    """Write the page from what was stored.

    Args:
        results: Folder with a JSON file for each figure.
        names: Figures in the order of the page; those without a file are listed as not measured.
        document: The page; its pictures are beside it, in ``pictures``.
    """
    figures = stored(results, names)
    if not figures:
        return
    document.parent.mkdir(parents=True, exist_ok=True)
    pictures = plots.draw(figures, document.parent / "pictures")
    missing = [name for name in names if name not in {each.name for each in figures}]
    text = "\n".join(_page(figures, missing, pictures, _reasons()))
    document.write_text(f"{text.rstrip()}\n", encoding="utf-8")


def stored(results: Path, names: Sequence[str]) -> list[Figure]:
    """Return the figures that were measured."""
    files = (results / f"{name}.json" for name in names)
    return [Figure.model_validate_json(file.read_bytes()) for file in files if file.is_file()]


def plain(results: Path, names: Sequence[str]) -> str:
    """Return the table for a terminal."""
    rows = [_COLUMNS, *(_row(each) for found in stored(results, names) for each in found.measured)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (zip(row, widths, strict=True) for row in rows)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in line).rstrip() for line in lines
    )


def _page(
    figures: list[Figure], missing: list[str], pictures: dict[str, str], reasons: dict[str, str]
) -> Iterator[str]:
    yield _HEAD
    if any(figure.quick for figure in figures):
        yield "**Some of these are trials with small sizes. Their figures mean nothing.**\n"
    yield from _machines(figures)
    yield from _table(each for figure in figures for each in figure.measured)
    for title, file in pictures.items():
        yield f"![{title}](pictures/{file})\n"
    if missing:
        yield f"Not measured yet: {', '.join(missing)}.\n"
    yield from _missed(figures, reasons)
    for figure in figures:
        yield from _section(figure)


def _machines(figures: list[Figure]) -> Iterator[str]:
    """Say where and when; a figure that was renewed elsewhere says so itself."""
    groups: dict[str, list[str]] = {}
    for figure in figures:
        here = figure.machine
        words = f"{here.processor}, {here.cores} cores, {here.memory_gb:g} GB, Python {here.python}"
        groups.setdefault(f"{figure.at:%Y-%m-%d}: {words}", []).append(figure.name)
    for where, names in groups.items():
        yield f"- {where}" + ("" if len(groups) == 1 else f" ({', '.join(names)})")
    yield ""


def _table(lines: Iterator[Measured]) -> Iterator[str]:
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"|{' --- |' * len(_COLUMNS)}"
    for line in lines:
        yield f"| {' | '.join(_row(line))} |"
    yield ""


def _row(line: Measured) -> tuple[str, ...]:
    floor = f"{_with_spread(line.floor, line.unit)}: {line.floor_name}" if line.floor else ""
    ratio = f"{line.ratio:.2f} {_TIMES}" if line.ratio else ""
    bars = ", ".join(_bar(bar, line.unit) for bar in line.bars)
    reached = ("**no**" if line.missed else "yes") if line.bars else ""
    return line.name, _with_spread(line.value, line.unit), floor, ratio, bars, reached


def _bar(bar: Bar, unit: str) -> str:
    sign = "≤" if bar.kind == "at most" else "≥"
    return f"{sign} {bar.limit:g} {unit if bar.of == 'value' else _TIMES}"


def _with_spread(sample: Sample, unit: str) -> str:
    low, high = min(sample.rounds), max(sample.rounds)
    spread = f" ({_figure(low)} to {_figure(high)})" if len(sample.rounds) > 1 else ""
    return f"{_figure(sample.median)}{spread} {unit}".rstrip()


def _figure(value: float) -> str:
    """Write three digits, and no digit of a large number that nobody reads."""
    size = abs(value)
    if size >= 100:  # noqa: PLR2004 - three digits
        return f"{value:,.0f}"
    return f"{value:.3g}" if size else "0"


def _missed(figures: list[Figure], reasons: dict[str, str]) -> Iterator[str]:
    lines = [each for figure in figures for each in figure.missed]
    if not lines:
        return
    yield "## Bars that are missed\n"
    for line in lines:
        bars = " and ".join(_bar(bar, line.unit) for bar in line.missed)
        yield f"- **{line.name}** ({bars}): {reasons.get(line.name, _UNKNOWN)}"
    yield ""


def _section(figure: Figure) -> Iterator[str]:
    title = (import_module(f"benchmarks.figures.{figure.name}").__doc__ or "").partition("\n")[0]
    rounds = max((len(each.value.rounds) for each in figure.measured), default=0)
    took = f"{rounds} round{'s' if rounds != 1 else ''}, {figure.seconds:.0f} s"
    load = f"load of the machine {figure.load[0]:.1f} before, {figure.load[1]:.1f} at the end"
    yield f"## {figure.name}\n"
    yield f"{title} ({took}; {load}.)\n"
    for note in figure.notes:
        yield f"- {note}"
    for words in figure.not_run:
        yield f"- Not run: {words}"
    if figure.notes or figure.not_run:
        yield ""
    if figure.parts:
        yield from ("| step | seconds |", "| --- | --- |")
        for name, taken in sorted(figure.parts.items(), key=lambda part: -part[1]):
            yield f"| {name} | {_figure(taken)} |"
        yield ""


def _reasons() -> dict[str, str]:
    found = tomllib.loads(_REASONS.read_text(encoding="utf-8"))
    return {line: str(text) for table in found.values() for line, text in table.items()}
