"""The plots of docs/benchmarks.md: ratios against their bars, and what is compared with a peer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figure import Bar, Figure, Measured

_DARK, _GREY, _BLUE, _RED = "#22303c", "#9aa5b1", "#2f6f9f", "#c0392b"
_WIDTH_INCHES, _LINE_INCHES = 9.0, 0.34
_PIXELS_PER_INCH = 100


def draw(figures: Sequence[Figure], folder: Path) -> dict[str, str]:
    """Draw what there is to be drawn; return the file's name by the plot's title."""
    lines = [each for figure in figures for each in figure.measured]
    barred = [each for each in lines if _ratio_bar(each) and each.ratio]
    peers = [each for each in lines if each.unit == "tokens/s"]
    drawn: dict[str, str] = {}
    if barred:
        drawn["Ratios to the floor, and their bars"] = "benchmark-ratios.png"
        _save(folder / "benchmark-ratios.png", len(barred), lambda axes: _ratios(axes, barred))
    if peers:
        drawn["Tokens per second"] = "benchmark-tokens.png"
        _save(folder / "benchmark-tokens.png", 2 * len(peers), lambda axes: _speeds(axes, peers))
    return drawn


def _ratio_bar(line: Measured) -> Bar | None:
    return next((bar for bar in line.bars if bar.of == "ratio"), None)


def _save(file: Path, lines: int, fill: Callable[[Any], None]) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Picture

    with rc_context({"text.parse_math": False, "font.size": 9}):
        size = (_WIDTH_INCHES, 1.0 + _LINE_INCHES * lines)
        picture = Picture(size, _PIXELS_PER_INCH, layout="constrained")
        axes = picture.subplots()
        fill(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_DARK)
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.savefig(file, metadata={"Software": None})


def _ratios(axes: Any, lines: list[Measured]) -> None:
    """Draw a bar for each ratio, and its limit as a mark."""
    names = [_plain(line.name) for line in lines]
    ratios = [line.ratio or 0.0 for line in lines]
    colors = [_RED if line.missed else _BLUE for line in lines]
    axes.barh(names, ratios, color=colors, height=0.6)
    for row, line in enumerate(lines):
        bar = _ratio_bar(line)
        if bar:
            sign = "≤" if bar.kind == "at most" else "≥"
            axes.plot([bar.limit] * 2, [row - 0.4, row + 0.4], color=_DARK, linewidth=2)
            text = f" {line.ratio:.2f} ({sign} {bar.limit:g})"
            axes.text(max(ratios[row], bar.limit), row, text, va="center", color=_DARK)
    limits = [bar.limit for bar in map(_ratio_bar, lines) if bar]
    axes.set_xlim(0, 1.25 * max(*ratios, *limits))
    axes.invert_yaxis()
    axes.set_xlabel("times the floor; the line is the bar, red misses it", color=_DARK)


def _speeds(axes: Any, lines: list[Measured]) -> None:
    """Draw each speed, and its peer's below it."""
    for row, line in enumerate(lines):
        pairs = [(line.value, _BLUE, row - 0.2), (line.floor, _GREY, row + 0.2)]
        for sample, color, place in pairs:
            if sample:
                low, high = min(sample.rounds), max(sample.rounds)
                spread = [[sample.median - low], [high - sample.median]]
                axes.barh([place], [sample.median], xerr=spread, color=color, height=0.36)
    labels = [f"{_plain(line.name)}\n{_plain(line.floor_name)}" for line in lines]
    axes.set_yticks(range(len(lines)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("tokens/s: blue is Slipway's, grey is what it is compared with", color=_DARK)


def _plain(text: str) -> str:
    return text.replace("`", "")
