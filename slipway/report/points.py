"""The picture's left panel: every candidate by its size and its distance from the source."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from slipway.evaluation import units
from slipway.evaluation.outcome import State, candidate_outcome, short_names
from slipway.report.ink import COLOURS, INK, LIMIT, MARKERS, QUIET, style
from slipway.values import Estimate, ScoredCandidate, Selection

LEAST_KL = 1e-6  # below it two models are the same, and a logarithmic axis has no zero
#: Where a label may stand beside its point, best first: points to the right and up, and which side
#: of the label is towards the point.
PLACES = (
    (9, 0, "left", "center"),
    (-9, 0, "right", "center"),
    (0, 10, "center", "bottom"),
    (0, -10, "center", "top"),
    (9, 12, "left", "bottom"),
    (9, -12, "left", "top"),
    (-9, 12, "right", "bottom"),
    (-9, -12, "right", "top"),
    (9, 24, "left", "bottom"),
    (9, -24, "left", "top"),
    (-9, 24, "right", "bottom"),
    (-9, -24, "right", "top"),
)


class Point(NamedTuple):
    """One candidate on the panel.

    Attributes:
        name: Its short name.
        state: What became of it.
        size_mb: Its size.
        kl: Its mean KL divergence in nats per token, ``LEAST_KL`` or more.
        limit: The most that its gate allows; None without such a gate.
    """

    name: str
    state: State
    size_mb: float
    kl: Estimate
    limit: float | None


def draw(axes: Any, choice: Selection, source_mb: float) -> Sequence[Point]:
    """Draw the source as a line, and every candidate whose distance from it is known.

    Args:
        axes: Where.
        choice: The candidates.
        source_mb: Size of the source weights.

    Returns:
        What was drawn, for ``place`` to label.
    """
    from matplotlib.ticker import LogLocator

    style(axes, "How large, and how far from its source")
    points = [*_points(choice)]
    axes.set_yscale("log")
    _draw_source(axes, source_mb)
    for point in points:
        _draw_point(axes, point)
    _scale(axes, points, source_mb)
    axes.set_xlabel("size in MB", color=INK, fontsize=9)
    axes.set_ylabel("KL divergence, nats per token", color=INK, fontsize=9)
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    for formatted in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatted("{x:g}")
    axes.tick_params(which="minor", color=QUIET, labelcolor=QUIET, labelsize=8)
    if any(point.limit for point in points):
        axes.plot([], [], color=LIMIT, label="limit of its gate")
        axes.legend(loc="lower left", frameon=False, labelcolor=INK, fontsize=9)
    if not points:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, color=INK, ha="center")
    return points


def place(axes: Any, points: Iterable[Point]) -> None:
    """Write each point's name where it covers no point and no other name, if there is room."""
    legend = axes.get_legend()
    taken = [each.get_window_extent() for each in (*axes.texts, legend) if each]
    taken += [_box(axes, point) for point in points]
    for point in sorted(points, key=lambda each: each.state != "chosen"):
        texts = [_label(axes, point, where) for where in PLACES]
        boxes = [text.get_window_extent() for text in texts]
        free = (index for index, box in enumerate(boxes) if _is_free(axes, box, taken))
        best = next(free, 0)
        taken.append(boxes[best])
        for index, text in enumerate(texts):
            if index != best:
                text.remove()


def _points(choice: Selection) -> Iterable[Point]:
    names = short_names([each.evaluation.variant for each in choice.candidates])
    for each in choice.candidates:
        figures = each.evaluation.figures
        size, kl = figures.get("size_bytes"), figures.get("kl_mean")
        if size and kl and units.measured(kl.value) is not None:
            yield Point(
                name=names[each.evaluation.variant],
                state=candidate_outcome(each, choice).state,
                size_mb=size.value / 1e6,
                kl=Estimate(**{end: max(value, LEAST_KL) for end, value in kl}),
                limit=_limit(each),
            )


def _limit(candidate: ScoredCandidate) -> float | None:
    limits = [gate.limit for gate in candidate.gates if gate.metric == "kl_mean" and gate.limit]
    return min(limits, default=None)


def _draw_source(axes: Any, source_mb: float) -> None:
    axes.axvline(source_mb, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"source weights,\n{units.size(source_mb * 1e6)}, KL 0",
        (source_mb, 0.97),
        (-5, 0),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        color=INK,
        fontsize=9,
        ha="right",
        va="top",
    )


def _draw_point(axes: Any, point: Point) -> None:
    """Draw the point, its interval, and its limit as a short red line at the same size."""
    colour = COLOURS[point.state]
    below, above = point.kl.value - point.kl.low, point.kl.high - point.kl.value
    chosen = point.state == "chosen"
    axes.errorbar(
        point.size_mb,
        point.kl.value,
        [[max(below, 0)], [max(above, 0)]],
        fmt=MARKERS[point.state],
        markersize=10 if chosen else 7,
        color=colour,
        markeredgecolor=INK if chosen else colour,
        ecolor=INK if chosen else QUIET,
        capsize=3,
        zorder=3,
    )
    if point.limit:
        axes.plot(point.size_mb, point.limit, "_", color=LIMIT, markersize=14, zorder=2)


def _scale(axes: Any, points: Sequence[Point], source_mb: float) -> None:
    """Leave room around all points, limits and the source."""
    sizes = [source_mb, *(point.size_mb for point in points)]
    span = max(sizes) - min(sizes) or max(sizes)
    axes.set_xlim(min(sizes) - 0.25 * span, max(sizes) + 0.12 * span)
    ends = [end for point in points for end in (point.kl.low, point.kl.high, point.limit) if end]
    if ends:
        axes.set_ylim(min(ends) / 3, max(ends) * 2.5)


def _box(axes: Any, point: Point) -> Any:
    """Return what a point covers, in pixels."""
    from matplotlib.transforms import Bbox

    x, low = axes.transData.transform((point.size_mb, point.kl.low))
    high = axes.transData.transform((point.size_mb, point.kl.high))[1]
    return Bbox([[x - 8, low - 5], [x + 8, high + 5]])


def _label(axes: Any, point: Point, where: tuple[int, int, str, str]) -> Any:
    right, up, horizontal, vertical = where
    return axes.annotate(
        point.name,
        (point.size_mb, point.kl.value),
        (right, up),
        textcoords="offset points",
        ha=horizontal,
        va=vertical,
        fontsize=9,
        color=INK if point.state in ("chosen", "passed") else "#6b7680",
        fontweight="bold" if point.state == "chosen" else "normal",
    )


def _is_free(axes: Any, box: Any, taken: Iterable[Any]) -> bool:
    inside = axes.get_window_extent()
    fits = (
        inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 <= box.y1 <= inside.y1
    )
    return fits and not any(box.overlaps(other) for other in taken)
