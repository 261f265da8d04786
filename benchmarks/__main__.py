"""Measures every figure of docs/benchmarks.md, or those that are named, and renews the page.

Each figure is measured in a process of its own and stored as JSON, so that single figures can be
renewed. What fails is reported, and its last figure stays. Before others can rely on the figures,
nothing else may run on the machine.

Usage: python -m benchmarks [FIGURE ...] [--quick --into FOLDER] [--page]
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from benchmarks import page
from benchmarks.figure import Figure
from slipway.libraries import disable_telemetry
from slipway.settings import PROJECT

HERE = Path(__file__).parent
#: Modules of ``benchmarks/figures``, in the order of the page.
FIGURES = (
    "release",
    "noop",
    "commands",
    "wrapper",
    "decode",
    "size",
    "serving",
    "fidelity",
    "watch",
    "workers",
    "registry",
)
Measure = Callable[[Path, bool], Figure]


def main() -> int:
    """Do what the command line says; return 1 if a figure could not be measured."""
    options = _options()
    results, document = HERE / "results", PROJECT / "docs" / "benchmarks.md"
    work = options.work or PROJECT / "build" / "bench"
    if options.into:
        results, document = options.into / "results", options.into / "benchmarks.md"
        work = options.work or options.into / "work"
    if options.child:
        (name,) = options.figures
        _measure(name, work, results, quick=options.quick)
        return 0
    names = () if options.page else options.figures or FIGURES
    failed = [name for name in names if not _measured_in_child(name, sys.argv[1:])]
    page.write(results, FIGURES, document)
    print(page.plain(results, FIGURES))
    for name in failed:
        print(f"{name} could not be measured: see above", file=sys.stderr)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], metavar="FIGURE")
    parser.add_argument("--quick", action="store_true", help="small sizes: a trial of the scripts")
    parser.add_argument("--into", type=Path, help="write results and page there")
    parser.add_argument("--work", type=Path, help="keep models and homes there")
    parser.add_argument("--page", action="store_true", help="only write the page again")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick and not options.into:
        parser.error("--quick needs --into: its figures are no figures of the page")
    return options


def _measured_in_child(name: str, arguments: list[str]) -> bool:
    """Measure one figure, and return whether that worked."""
    rest = [each for each in arguments if each not in FIGURES]
    print(f"{name} …", flush=True)
    started = time.monotonic()
    command = [sys.executable, "-m", "benchmarks", name, "--child", *rest]
    worked = subprocess.run(command, cwd=Path.cwd(), check=False).returncode == 0
    taken = time.monotonic() - started
    print(f"{name}: {'measured' if worked else 'FAILED'} in {taken:.0f} s", flush=True)
    return worked


def _measure(name: str, work: Path, results: Path, *, quick: bool) -> None:
    measure: Measure = import_module(f"benchmarks.figures.{name}").measure
    folder = work.resolve() / ("quick" if quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    before, started = os.getloadavg()[0], time.monotonic()
    found = measure(folder, quick)
    load, taken = (before, os.getloadavg()[0]), time.monotonic() - started
    found = found.model_copy(update={"quick": quick, "load": load, "seconds": taken})
    results.mkdir(parents=True, exist_ok=True)
    text = found.model_dump_json(indent=1)
    (results / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    disable_telemetry()
    sys.exit(main())
