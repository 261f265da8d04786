"""The picture of a release: how much smaller, and how fast."""

import io
from collections.abc import Callable
from typing import Any

from slipway.report import units
from slipway.values import Dossier

PIXELS_PER_INCH = 100
SIZE_INCHES = (9, 1.9)
REFERENCE_COLOUR, ONNX_COLOUR, INK = "#a9b4c2", "#2f6f9f", "#22303c"
ROOM_FOR_LABELS = 1.5  # the axis ends this far beyond the longest bar


def picture(dossier: Dossier) -> bytes:
    """Draw the sizes of source and artifact, and the speeds of both wrappers.

    Args:
        dossier: Everything about the release.

    Returns:
        A PNG, 900 pixels wide, on white.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(
        SIZE_INCHES, PIXELS_PER_INCH, layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1)
    )
    left, right = figure.subfigures(1, 2, squeeze=False)[0]
    _draw_sizes(left, dossier)
    _draw_speeds(right, dossier)
    with io.BytesIO() as stream:
        figure.savefig(stream, format="png", metadata={"Software": None})
        return stream.getvalue()


def _draw_sizes(panel: Any, dossier: Dossier) -> None:
    weights, artifact = dossier.weights.stored.size_bytes, dossier.artifact.stored.size_bytes
    share = units.measured(dossier.report.size_ratio)
    title = "Size" if share is None else f"Size: ONNX is {units.percent(share)} of the source"
    _draw_bars(panel, title, {"source weights": weights, "ONNX artifact": artifact}, units.size)


def _draw_speeds(panel: Any, dossier: Dossier) -> None:
    onnx, reference = (
        units.measured(report.answers.tokens_per_second) if report.answers else None
        for report in dossier.report.wrappers
    )
    title = "Speed"
    if onnx and reference:
        title = f"Speed: ONNX is {units.number(onnx / reference)} times the reference"
    _draw_bars(panel, title, {"transformers": reference, "ONNX": onnx}, units.speed)


def _draw_bars(
    panel: Any, title: str, values: dict[str, float | None], write: Callable[..., str]
) -> None:
    """Draw one bar a value, the reference above ONNX, each with its figure at its end."""
    panel.set_facecolor("white")
    panel.suptitle(title, x=0.04, ha="left", fontsize=12, fontweight="bold", color=INK)
    axes = panel.subplots()
    lengths = [value or 0 for value in values.values()]
    bars = axes.barh(list(values), lengths, 0.7, color=(REFERENCE_COLOUR, ONNX_COLOUR))
    texts = [write(value) for value in values.values()]
    axes.bar_label(bars, texts, padding=6, color=INK, fontsize=11)
    axes.set_xlim(0, max(lengths) * ROOM_FOR_LABELS or 1)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelbottom=False, labelcolor=INK, labelsize=11)
