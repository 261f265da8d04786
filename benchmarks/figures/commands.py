"""How long commands take that people wait for, against the start of an interpreter."""

from functools import partial
from pathlib import Path

from benchmarks.figure import Figure, Measured, at_most
from benchmarks.measure import interleaved, python
from benchmarks.models import Home, released_home

ROUNDS, QUICK_ROUNDS = 11, 1
FLOOR = "`python -c pass`"
#: By command, the seconds that it may take.
LIMITS = {"--help": 0.3, "models": 0.5, "status": 2.0, "plan MODEL": 3.0}


def measure(work: Path, quick: bool) -> Figure:
    """Run every command in turn, with one released model."""
    home = released_home(work, quick)
    ways = {name: partial(_seconds, name, home) for name in LIMITS}
    ways[FLOOR] = partial(python, "-c", "pass")
    found = interleaved(ways, QUICK_ROUNDS if quick else ROUNDS)
    floor = found.pop(FLOOR)
    measured = tuple(
        Measured(
            name=f"`slipway {name}`",
            unit="s",
            value=sample,
            floor=floor,
            floor_name=FLOOR,
            bars=(at_most(LIMITS[name], of="value"),),
        )
        for name, sample in found.items()
    )
    return Figure(name="commands", measured=measured)


def _seconds(command: str, home: Home) -> float:
    words = command.replace("MODEL", home.model).split()
    return python("-m", "slipway", *words, more=home.variables)
