"""What commands read of a registry of thousands of releases, against one of ten."""

import contextlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.figure import Figure, Measured, at_most
from benchmarks.measure import interleaved, seconds
from benchmarks.models import Home, fresh_home

ROUNDS, QUICK_ROUNDS = 7, 1
FEW, MANY, QUICK_MANY = 10, 2000, 30
_KEY = "key"


def measure(work: Path, quick: bool) -> Figure:
    """Call what the commands call, in one process, with each registry in turn."""
    many = QUICK_MANY if quick else MANY
    homes = {number: _filled(work / f"registry-{number}", number) for number in (FEW, many)}
    names = {
        "status": "`status`",
        "history": "`history`, the newest 20",
        "noop": "check of a release that exists",
        "reconcile": "`reconcile` of one model",
    }
    ways = {
        f"{step} {number}": lambda step=step, home=home: _seconds(step, home)
        for step in names
        for number, home in homes.items()
    }
    interleaved(ways, 1)  # imports, and SQLite's pages
    found = interleaved(ways, QUICK_ROUNDS if quick else ROUNDS)
    measured = tuple(
        Measured(
            name=f"{name}, {many:,} releases",
            unit="s",
            value=found[f"{step} {many}"],
            floor=found[f"{step} {FEW}"],
            floor_name=f"{FEW} releases",
            bars=(at_most(2.0),),
        )
        for step, name in names.items()
    )
    note = (
        "The registry is a file of SQLite, read in this process: a start of Python and the imports "
        "of a command would hide the difference. Two releases of each registry are real, and the "
        "others are copies of the second one's rows."
    )
    return Figure(name="registry", measured=measured, notes=(note,))


def _filled(folder: Path, releases: int) -> Home:
    """Return a place whose model was released so often; it is made once."""
    home = fresh_home(folder, tiny=True) if not (folder / _KEY).is_file() else Home.at(folder)
    if not (folder / _KEY).is_file():
        from slipway.registry import open_registry
        from slipway.settings import Settings
        from tests.support.fake_registry import FakeRegistry
        from tests.support.large_registry import fill

        _enter(home)
        model = FakeRegistry(open_registry(Settings()), folder / "files", home.model)
        (folder / _KEY).write_text(fill(model, releases), encoding="utf-8")
        shutil.rmtree(folder / "files")
    return home


def _enter(home: Home) -> None:
    """Let settings of this process name a place; MLflow's client has noted the one before."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)
    os.environ.update(home.variables)


def _seconds(step: str, home: Home) -> float:
    _enter(home)
    run = _steps(home)[step]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return seconds(run)


def _steps(home: Home) -> dict[str, Callable[[], object]]:
    from commands.status import history, status
    from tasks.entries import find_release
    from tasks.recover import recover

    entry, key = home.entry, (home.folder / _KEY).read_text(encoding="utf-8")
    return {
        "status": lambda: status(home.model, json=True),
        "history": lambda: history(home.model),
        "noop": lambda: find_release.fn(entry, key, force=False),
        "reconcile": lambda: recover.fn(entry),
    }
