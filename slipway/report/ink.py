"""How the picture looks: the same colour means the same everywhere."""

from typing import Any

from slipway.evaluation.outcome import State

INK, QUIET, LIMIT = "#22303c", "#9aa5b1", "#c0392b"
COLOURS: dict[State, str] = {
    "chosen": "#2f6f9f",
    "passed": "#8fbbd9",
    "refused": "#b8bfc6",
    "in doubt": "#b8bfc6",
    "not measured": "#b8bfc6",
    "not built": "#b8bfc6",
}
MARKERS: dict[State, str] = {
    "chosen": "o",
    "passed": "o",
    "refused": "X",
    "in doubt": "D",
    "not measured": "s",
    "not built": "s",
}


def style(axes: Any, title: str) -> None:
    """Give a panel its title and quiet axes."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.set_facecolor("white")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(color=QUIET, labelcolor=INK, labelsize=9)
