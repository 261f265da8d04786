"""A first release with all caches off: its time, the bytes that it writes, its parent's memory."""

import hashlib
import json
from pathlib import Path

from benchmarks.bare_release import Request
from benchmarks.figure import Figure, Measured, Sample, at_most
from benchmarks.measure import Cost, printed
from benchmarks.models import EMBEDDED, TINY, Home, fresh_home, release, released_home
from slipway.settings import Settings

ROUNDS, QUICK_ROUNDS = 2, 1
NOTES = (
    (
        "The steps are those of the floor: each is one bare call of its library, in one process, "
        "with nothing checked (`benchmarks/bare_release.py`)."
    ),
    (
        "Unique bytes are those of all different files in the home afterwards: weights, "
        "candidates, logits, logged models, both databases. Written is what the kernel counted "
        "for all processes."
    ),
)


def measure(work: Path, quick: bool) -> Figure:
    """Release in an empty home and run the bare parts, in turn."""
    costs: list[Cost] = []
    bare: list[dict[str, float]] = []
    for _ in range(QUICK_ROUNDS if quick else ROUNDS):
        home = release(fresh_home(work / (TINY if quick else EMBEDDED), tiny=quick))
        costs.append(home.cost)
        bare.append(_bare(home))
    unique = _unique_bytes(home.home)
    tiny = released_home(work, quick, tiny=True).cost
    return Figure(
        name="release",
        measured=(_time(costs, bare), _written(costs, unique), _memory(costs, tiny)),
        parts={name: sum(each[name] for each in bare) / len(bare) for name in bare[0]},
        notes=NOTES,
    )


def _bare(home: Home) -> dict[str, float]:
    request = Request(
        catalogue=Path(home.variables["SLIPWAY_CATALOGUE"]),
        expectations=home.expectations,
        model=home.model,
        store=home.home / "store",
        speed_rounds=Settings().speed_rounds,
    )
    words = ("-m", "benchmarks.bare_release", request.model_dump_json())
    found: dict[str, float] = json.loads(printed(*words, more=home.variables).splitlines()[-1])
    return found


def _time(costs: list[Cost], bare: list[dict[str, float]]) -> Measured:
    return Measured(
        name="first release, nothing cached",
        unit="s",
        value=Sample(rounds=tuple(cost.seconds for cost in costs)),
        floor=Sample(rounds=tuple(sum(each.values()) for each in bare)),
        floor_name="the sum of its parts, run bare",
        bars=(at_most(1.25),),
    )


def _written(costs: list[Cost], unique: int) -> Measured:
    return Measured(
        name="bytes that a first release writes",
        unit="MB",
        value=Sample(rounds=tuple(cost.written_bytes / 1e6 for cost in costs)),
        floor=Sample.of(unique / 1e6),
        floor_name="unique bytes that are there afterwards",
        bars=(at_most(2.2),),
    )


def _memory(costs: list[Cost], tiny: Cost) -> Measured:
    return Measured(
        name="peak memory of the command's own process",
        unit="MB",
        value=Sample(rounds=tuple(cost.peak_mb for cost in costs)),
        floor=Sample.of(tiny.peak_mb),
        floor_name="the same for the tiny model of the tests",
        bars=(at_most(600, of="value"), at_most(1.1)),
    )


def _unique_bytes(folder: Path) -> int:
    """Return the bytes of all files with different content."""
    sizes: dict[str, int] = {}
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            with file.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            sizes[digest] = file.stat().st_size
    return sum(sizes.values())
