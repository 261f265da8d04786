"""The plot of a release: size, KL divergence from the source and speed of every candidate."""

import io
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from slipway.evaluation import units
from slipway.evaluation.outcome import CandidateState, candidate_outcome, short_names
from slipway.values import Estimate, ReleaseSummary, ScoredCandidate, Selection

PIXELS_PER_INCH = 100
WIDTH_INCHES, LEAST_HEIGHT_INCHES, LINE_INCHES = 9, 3.2, 0.2
NAME_CHARACTERS = 24  # in a line of the plot
LABEL_SPACE = 1.45  # the axis ends this far beyond the longest bar
LEAST_KL = 1e-6  # a logarithmic axis has no zero
DARK, GREY, RED = "#22303c", "#9aa5b1", "#c0392b"
PALE, PALE_TEXT = "#b8bfc6", "#6b7680"
COLORS: dict[CandidateState, str] = {"selected": "#2f6f9f", "passed": "#8fbbd9"}
MARKERS: dict[CandidateState, str] = {
    "selected": "o",
    "passed": "o",
    "failed": "X",
    "inconclusive": "D",
    "not measured": "s",
    "not built": "s",
}
#: Places of a label around its point, best first, in typographic points to the right and up.
LABEL_OFFSETS = [(9, 0), (-9, 0), (0, 10), (0, -10)] + [
    (right, up) for up in (12, -12, 24, -24) for right in (9, -9)
]


class Point(NamedTuple):
    """One candidate of the left panel.

    Attributes:
        kl: Mean, in nats per token; ``LEAST_KL`` or more.
        limit: The strictest of its gates on the KL divergence; None without such a gate.
    """

    name: str
    state: CandidateState
    size_mb: float
    kl: Estimate
    limit: float | None


def png(summary: ReleaseSummary) -> bytes:
    """Draw KL divergence over size on the left, and decoding speed on the right.

    Returns:
        A PNG, 900 pixels wide, on white.
    """
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}):  # a repository may call a folder "$x$"
        return _png(summary)


def _png(summary: ReleaseSummary) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    selection = summary.selection
    lines = sum(row.count("\n") + 1 for row in _rows(selection))
    height = max(LEAST_HEIGHT_INCHES, 1 + LINE_INCHES * lines)
    figure = Figure((WIDTH_INCHES, height), PIXELS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    points = draw_points(left, selection, summary.weights.stored.size_bytes / 1e6)
    _draw_speeds(right, selection)
    canvas.draw()  # labels are placed once the positions are known
    figure.set_layout_engine("none")
    draw_labels(left, points)
    with io.BytesIO() as stream:
        figure.savefig(stream, format="png", metadata={"Software": None})
        return stream.getvalue()


def draw_points(axes: Any, selection: Selection, source_mb: float) -> Sequence[Point]:
    """Draw the source's size as a line, and every candidate whose KL divergence is known.

    Returns:
        What was drawn, for ``draw_labels``.
    """
    points = [*_points(selection)]
    _style(axes, "Size, and KL divergence from the source")
    _scale(axes, points, source_mb)
    _draw_source(axes, source_mb)
    for point in points:
        _draw_point(axes, point)
    if any(point.limit for point in points):
        axes.plot([], [], color=RED, label="limit of the gate")
        axes.legend(loc="lower left", frameon=False, labelcolor=DARK, fontsize=9)
    if not points:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, color=DARK, ha="center")
    return points


def draw_labels(axes: Any, points: Iterable[Point]) -> None:
    """Write each point's name where it covers no point and no other text, if there is space."""
    legend = axes.get_legend()
    taken = [each.get_window_extent() for each in (*axes.texts, legend) if each]
    taken += [_box(axes, point) for point in points]
    for point in sorted(points, key=lambda each: each.state != "selected"):
        labels = [_label(axes, point, *offset) for offset in LABEL_OFFSETS]
        boxes = [label.get_window_extent() for label in labels]
        free = (place for place, box in enumerate(boxes) if _is_free(axes, box, taken))
        best = next(free, 0)
        taken.append(boxes[best])
        for label in labels[:best] + labels[best + 1 :]:
            label.remove()


def _draw_speeds(axes: Any, selection: Selection) -> None:
    """Draw one bar a candidate, in the recipe's order, with its figure at the end."""
    _style(axes, "Decoding speed")
    states = [candidate_outcome(each, selection).state for each in selection.candidates]
    speeds = [_speed(each) for each in selection.candidates]
    lengths = [speed or 0 for speed in speeds]
    bars = axes.barh(_rows(selection), lengths, 0.6, color=[_color(state) for state in states])
    axes.bar_label(bars, [units.speed(each) for each in speeds], padding=5, color=DARK, fontsize=9)
    axes.set_xlim(0, max(lengths) * LABEL_SPACE or 1)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelbottom=False)


def _rows(selection: Selection) -> list[str]:
    """Return what stands beside the bars: each candidate's name and state."""
    names = short_names([each.evaluation.variant for each in selection.candidates])
    return [
        f"{_in_lines(names[each.evaluation.variant])}\n{candidate_outcome(each, selection).state}"
        for each in selection.candidates
    ]


def _in_lines(name: str) -> str:
    """Break a long name behind its hyphens."""
    return textwrap.fill(name.replace("-", "- "), NAME_CHARACTERS).replace("- ", "-")


def _speed(candidate: ScoredCandidate) -> float | None:
    speed = candidate.evaluation.figures.get("decode_tokens_per_second")
    return units.measured(speed.value) if speed else None


def _points(selection: Selection) -> Iterator[Point]:
    names = short_names([each.evaluation.variant for each in selection.candidates])
    for each in selection.candidates:
        figures = each.evaluation.figures
        size, kl = figures.get("size_bytes"), figures.get("kl_mean")
        limits = [gate.limit for gate in each.gates if gate.metric == "kl_mean" and gate.limit]
        if size and kl and units.measured(kl.value) is not None:
            yield Point(
                name=_in_lines(names[each.evaluation.variant]),
                state=candidate_outcome(each, selection).state,
                size_mb=size.value / 1e6,
                kl=Estimate(**{end: max(value, LEAST_KL) for end, value in kl}),
                limit=min(limits, default=None),
            )


def _style(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=DARK)
    axes.set_facecolor("white")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(color=GREY, labelcolor=DARK, labelsize=9)


def _scale(axes: Any, points: Sequence[Point], source_mb: float) -> None:
    """Scale both axes so that all points, limits and the source have space around them."""
    from matplotlib.ticker import LogLocator

    sizes = [source_mb, *(point.size_mb for point in points)]
    span = max(sizes) - min(sizes) or max(sizes)
    axes.set_xlim(min(sizes) - 0.25 * span, max(sizes) + 0.12 * span)
    axes.set_xlabel("size in MB", color=DARK, fontsize=9)
    axes.set_yscale("log")
    ends = [end for point in points for end in (point.kl.low, point.kl.high, point.limit) if end]
    if ends:
        axes.set_ylim(min(ends) / 3, max(ends) * 2.5)
    axes.set_ylabel("KL divergence, nats per token", color=DARK, fontsize=9)
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(which="minor", color=GREY, labelcolor=GREY, labelsize=8)


def _draw_source(axes: Any, source_mb: float) -> None:
    axes.axvline(source_mb, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"source weights,\n{units.size(source_mb * 1e6)}, KL 0",
        (source_mb, 0.97),
        (-5, 0),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        color=DARK,
        fontsize=9,
        ha="right",
        va="top",
    )


def _draw_point(axes: Any, point: Point) -> None:
    """Draw the point, its interval, and its limit as a short red line at the same size."""
    color, selected = _color(point.state), point.state == "selected"
    axes.errorbar(
        point.size_mb,
        point.kl.value,
        [[max(point.kl.value - point.kl.low, 0)], [max(point.kl.high - point.kl.value, 0)]],
        fmt=MARKERS[point.state],
        markersize=10 if selected else 7,
        color=color,
        markeredgecolor=DARK if selected else color,
        ecolor=DARK if selected else GREY,
        capsize=3,
        zorder=3,
    )
    if point.limit:
        axes.plot(point.size_mb, point.limit, "_", color=RED, markersize=14, zorder=2)


def _label(axes: Any, point: Point, right: int, up: int) -> Any:
    return axes.annotate(
        point.name,
        (point.size_mb, point.kl.value),
        (right, up),
        textcoords="offset points",
        ha="left" if right > 0 else "right" if right else "center",
        va="bottom" if up > 0 else "top" if up else "center",
        fontsize=9,
        color=DARK if point.state in COLORS else PALE_TEXT,
        fontweight="bold" if point.state == "selected" else "normal",
    )


def _color(state: CandidateState) -> str:
    return COLORS.get(state, PALE)


def _box(axes: Any, point: Point) -> Any:
    """Return what a point covers, in pixels."""
    from matplotlib.transforms import Bbox

    x, low = axes.transData.transform((point.size_mb, point.kl.low))
    high = axes.transData.transform((point.size_mb, point.kl.high))[1]
    return Bbox([[x - 8, low - 5], [x + 8, high + 5]])


def _is_free(axes: Any, box: Any, taken: Iterable[Any]) -> bool:
    panel = axes.get_window_extent()
    inside = panel.x0 <= box.x0 and box.x1 <= panel.x1 and panel.y0 <= box.y0 and box.y1 <= panel.y1
    return inside and not any(box.overlaps(other) for other in taken)
