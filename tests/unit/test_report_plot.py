"""The plot of a release shows every candidate, and can be read."""

import io
import math
from itertools import combinations
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from slipway.evaluation.outcome import short_names
from slipway.report.plot import draw_labels, draw_points, png
from slipway.values import ReleaseSummary, ScoredCandidate, Selection
from tests.support.scored_candidates import (
    built,
    evaluated,
    fidelity,
    not_built,
    scored,
    selection,
    speed,
)
from tests.support.summaries import artifact, promoted


def crowd(count: int) -> tuple[ScoredCandidate, ...]:
    """Return candidates that are nearly the same, as a recipe with small variations has them."""
    return tuple(
        scored(
            evaluated(
                built(f"cpu-int4-rtn-block-{32 * index}", 98_000_000 + 900_000 * index, 40),
                fidelity((0.1 + index / 100,) * 3, (0.9,) * 3, 1.02),
                speed(40 + index),
            )
        )
        for index in range(1, count + 1)
    )


def mixed() -> tuple[ScoredCandidate, ScoredCandidate]:
    """Return two candidates, one of which has groups of nodes with another precision."""
    groups = "cpu-int4-rtn-block-32-int8_last_matmul-int8_mixed_layers"
    return (
        scored(
            evaluated(
                built("cpu-int8-rtn-block-64", 149_000_000, 40),
                fidelity((0.0098,) * 3, (0.93,) * 3, 1.0),
                speed(62),
            )
        ),
        scored(
            evaluated(
                built(groups, 114_000_000, 40), fidelity((0.35,) * 3, (0.66,) * 3, 1.3), speed(72)
            )
        ),
    )


def choosing(candidates: tuple[ScoredCandidate, ...]) -> Selection:
    """Return a selection of the first of these."""
    return Selection(
        candidates=candidates, variant=candidates[0].evaluation.variant, reason="the first"
    )


def unmeasured() -> Selection:
    """Return a selection among candidates of which neither KL divergence nor speed are known."""
    candidates = (scored(evaluated(artifact(), None, None)), not_built())
    return choosing(candidates)


def drawn_labels(chosen: Selection) -> tuple[Any, list[Any]]:
    """Return the left panel as it is drawn, and the boxes of the names in it."""
    figure = Figure((6, 3.2), 100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    shown = draw_points(axes, chosen, 269.0)
    canvas.draw()
    draw_labels(axes, shown)
    names = {point.name for point in shown}
    return axes, [text.get_window_extent() for text in axes.texts if text.get_text() in names]


@pytest.mark.parametrize(
    "release",
    [
        pytest.param(promoted(), id="four candidates"),
        pytest.param(promoted(selection=choosing(crowd(1))), id="one candidate"),
        pytest.param(promoted(selection=choosing(crowd(8))), id="eight candidates"),
        pytest.param(promoted(selection=unmeasured()), id="nothing measured"),
        pytest.param(
            promoted(
                selection=choosing(
                    (
                        scored(
                            evaluated(artifact(), fidelity((0, 0, 0), (1,) * 3, 1), speed(math.nan))
                        ),
                    )
                )
            ),
            id="as the source, of no known speed",
        ),
    ],
)
def test_the_plot_is_a_small_png_on_white(release: ReleaseSummary) -> None:
    """It fits into a page, into a data address, and shows on a dark page, whatever is missing."""
    image = png(release)

    with Image.open(io.BytesIO(image)) as opened:
        assert (opened.format, opened.width) == ("PNG", 900)
        assert opened.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
    assert len(image) < 80_000


def test_a_name_that_looks_like_mathematics_is_drawn_as_it_is() -> None:
    """A folder of a repository may be called anything; matplotlib would parse what dollars hold."""
    odd = promoted(
        selection=choosing((scored(evaluated(artifact(variant=r"$\frac$"), None, None)),))
    )

    with Image.open(io.BytesIO(png(odd))) as opened:
        assert opened.format == "PNG"


def test_a_long_name_is_broken_behind_its_hyphens() -> None:
    """Beside its point and beside its bar, where it would cover the other panel."""
    axes, _ = drawn_labels(choosing(mixed()))

    (shown,) = [text.get_text() for text in axes.texts if "mixed" in text.get_text()]
    assert shown == "int4-block-32-\nint8_last_matmul-\nint8_mixed_layers"


def test_the_plot_shows_the_figures_it_was_given() -> None:
    """The same release is drawn the same, another one differently."""
    larger = promoted(selection=selection(artifact(stored=built("x", 200_000_000, 1).stored)))

    assert png(promoted()) == png(promoted())
    assert png(promoted()) != png(larger)
    assert png(promoted(selection=unmeasured())) != png(promoted())


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(selection(artifact()), id="a usual release"),
        pytest.param(choosing(crowd(6)), id="six that are nearly the same"),
        pytest.param(choosing(mixed()), id="long names"),
    ],
)
def test_names_in_the_plot_do_not_overlap(chosen: Selection) -> None:
    """Each can be read, and stands inside of its panel."""
    axes, boxes = drawn_labels(chosen)

    inside = axes.get_window_extent()
    assert len(boxes) == len([each for each in chosen.candidates if each.evaluation.fidelity])
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 for box in boxes)


@pytest.mark.parametrize(
    ("variants", "short"),
    [
        (
            ["cpu-int4-rtn-block-32-acc-level-4", "cpu-int8-rtn-block-32-acc-level-4"],
            ["int4", "int8"],
        ),
        (["cpu-int4-rtn-block-32", "cpu-int4-rtn-block-128"], ["block-32", "block-128"]),
        (
            ["cpu-int4-rtn-block-32", "cpu-int4-rtn-block-32-lm_head-int8"],
            ["cpu-int4-rtn-block-32", "cpu-int4-rtn-block-32-lm_head-int8"],
        ),
        (["cpu-fp32"], ["cpu-fp32"]),
        ([], []),
    ],
)
def test_names_in_the_plot_leave_out_what_all_share(variants: list[str], short: list[str]) -> None:
    """What is left tells them apart; where nothing would be left, the full names stand."""
    assert list(short_names(variants).values()) == short
