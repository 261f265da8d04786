"""The figures of docs/benchmarks.md: how they are judged, written, and renewed one by one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.__main__ import FIGURES
from benchmarks.figure import Bar, Figure, Measured, Sample, at_least, at_most
from benchmarks.measure import interleaved, observed
from tests.support.project import PROJECT

SLOW = Measured(
    name="a slow command",
    unit="s",
    value=Sample.of(3.0, 2.0, 10.0),
    floor=Sample.of(1.0),
    floor_name="a start",
    bars=(at_most(2.0), at_most(8.0, of="value")),
)


def bench(*arguments: str, into: Path) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks with small sizes."""
    command = [sys.executable, "-m", "benchmarks", *arguments, "--quick", "--into", str(into)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


def test_a_line_is_judged_by_its_median_and_its_ratio() -> None:
    """Each bar by itself: the value keeps its bar, and the ratio misses its own."""
    assert SLOW.ratio == 3.0
    assert SLOW.missed == (at_most(2.0),)


@pytest.mark.parametrize(
    ("bar", "found", "reached"),
    [(at_most(2.0), 2.0, True), (at_most(2.0), 2.01, False), (at_least(1.8), 1.79, False)],
)
def test_a_bar_is_reached_up_to_its_limit(bar: Bar, found: float, reached: bool) -> None:
    """And not beyond it."""
    assert bar.is_reached(found) is reached


def test_a_ratio_without_a_floor_misses_its_bar() -> None:
    """Nobody knows the ratio, so nobody may claim it."""
    assert SLOW.model_copy(update={"floor": None}).missed == (at_most(2.0),)


def test_ways_run_in_turn_and_in_both_orders() -> None:
    """So that whatever else the machine does affects all of them."""
    order: list[str] = []

    def way(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = interleaved({"a": lambda: way("a"), "b": lambda: way("b")}, rounds=2)

    assert order == ["a", "b", "b", "a"]
    assert found == {"a": Sample.of(1.0, 4.0), "b": Sample.of(2.0, 3.0)}


def test_what_a_command_costs_includes_its_descendants(tmp_path: Path) -> None:
    """A grandchild that outlives its parent writes 4 MB; the peak is the command's own."""
    write = f"open({str(tmp_path / 'written')!r}, 'wb').write(bytes(4_000_000))"
    child = f"import time; time.sleep(0.5); {write}"
    start = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
    hold = "import time; held = bytearray(b'x') * 60_000_000; time.sleep(0.3); print('done')"

    cost = observed("-c", f"{start}; {hold}", more={})

    assert (cost.exit_code, cost.output) == (0, "done\n")
    assert cost.written_bytes >= 4_000_000
    assert 60 <= cost.peak_mb < 200


def test_the_page_says_why_a_bar_is_missed(tmp_path: Path) -> None:
    """Or that nobody has profiled it; and which figures are not measured."""
    figure = Figure(name="noop", measured=(SLOW,), not_run=("the peer: it is not installed.",))
    (tmp_path / "noop.json").write_text(figure.model_dump_json(), encoding="utf-8")

    page.write(tmp_path, FIGURES, tmp_path / "docs" / "benchmarks.md")

    text = (tmp_path / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    row = "| a slow command | 3 (2 to 10) s | 1 s: a start | 3.00 x | ≤ 2 x, ≤ 8 s | **no** |"
    assert row in text.replace("\u00d7", "x")
    assert "- **a slow command** (≤ 2 x): not profiled yet" in text.replace("\u00d7", "x")
    assert "- Not run: the peer: it is not installed." in text
    assert figure.machine.processor in text
    assert "Not measured yet: release, commands, " in text


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_module_that_says_what_it_measures(name: str) -> None:
    """``make bench FIGURE=name`` finds it."""
    text = (PROJECT / "benchmarks" / "figures" / f"{name}.py").read_text(encoding="utf-8")

    assert text.startswith('"""')
    assert "def measure(work: Path, quick: bool) -> Figure:" in text


@pytest.mark.slow
def test_two_cheap_figures_are_measured_and_written(tmp_path: Path) -> None:
    """Then one of them again: the other stays as it is."""
    both = bench("watch", "registry", into=tmp_path)
    files = {name: tmp_path / "results" / f"{name}.json" for name in ("watch", "registry")}
    first = {name: file.read_bytes() for name, file in files.items()}

    again = bench("watch", into=tmp_path)

    assert (both.returncode, again.returncode) == (0, 0), both.stderr + again.stderr
    assert files["watch"].read_bytes() != first["watch"]
    assert files["registry"].read_bytes() == first["registry"]
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "Their figures mean nothing" in text
    assert (tmp_path / "pictures" / "benchmark-ratios.png").is_file()
    measured = json.loads(files["watch"].read_bytes())["measured"]
    assert measured[1]["value"]["rounds"] == [1.0]


def test_small_sizes_never_reach_the_page() -> None:
    """They need a folder of their own."""
    command = [sys.executable, "-m", "benchmarks", "watch", "--quick"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "--quick needs --into" in done.stderr
