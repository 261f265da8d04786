"""The picture of a release: how large, how near to its source and how fast each candidate is."""

import io
from typing import Any

from slipway.evaluation import units
from slipway.evaluation.outcome import candidate_outcome, short_names
from slipway.report import points
from slipway.report.ink import COLOURS, INK, style
from slipway.values import ReleaseSummary, Selection

PIXELS_PER_INCH = 100
WIDTH_INCHES, HEIGHT_INCHES, BAR_INCHES = 9, 3.2, 0.4
ROOM_FOR_LABELS = 1.45  # the axis ends this far beyond the longest bar


def picture(summary: ReleaseSummary) -> bytes:
    """Draw the candidates: KL divergence over size on the left, speed of writing on the right.

    Args:
        summary: Everything about the release.

    Returns:
        A PNG, 900 pixels wide, on white.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    choice = summary.selection
    height = max(HEIGHT_INCHES, 1 + BAR_INCHES * len(choice.candidates))
    figure = Figure((WIDTH_INCHES, height), PIXELS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    labels = points.draw(left, choice, summary.weights.stored.size_bytes / 1e6)
    _draw_speeds(right, choice)
    canvas.draw()  # where things lie is known once they were drawn
    figure.set_layout_engine("none")
    points.place(left, labels)
    with io.BytesIO() as stream:
        figure.savefig(stream, format="png", metadata={"Software": None})
        return stream.getvalue()


def _draw_speeds(axes: Any, choice: Selection) -> None:
    """Draw one bar a candidate, in the recipe's order, each with its figure at its end."""
    style(axes, "How fast it writes")
    names = short_names([each.evaluation.variant for each in choice.candidates])
    states = [candidate_outcome(each, choice).state for each in choice.candidates]
    figures = [
        each.evaluation.figures.get("decode_tokens_per_second") for each in choice.candidates
    ]
    known = [units.measured(figure.value) if figure else None for figure in figures]
    lengths = [value or 0 for value in known]
    rows = [f"{name}\n{state}" for name, state in zip(names.values(), states, strict=True)]
    bars = axes.barh(rows, lengths, 0.6, color=[COLOURS[state] for state in states])
    texts = [units.speed(value) for value in known]
    axes.bar_label(bars, texts, padding=5, color=INK, fontsize=9)
    axes.set_xlim(0, max(lengths) * ROOM_FOR_LABELS or 1)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelbottom=False)
