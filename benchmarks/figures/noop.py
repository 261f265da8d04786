"""How long a release takes that exists already, against the import of Prefect and MLflow."""

from pathlib import Path

from benchmarks.figure import Figure, Measured, at_most
from benchmarks.measure import interleaved, python
from benchmarks.models import released_home

ROUNDS, QUICK_ROUNDS = 7, 1
FLOOR = "Python's start and `import prefect, mlflow`"


def measure(work: Path, quick: bool) -> Figure:
    """Release a model again that is released."""
    home = released_home(work, quick)
    again = ("-m", "slipway", "release", home.model)
    python(*again, more=home.variables)  # releases it where this code has another release key
    ways = {
        "again": lambda: python(*again, more=home.variables),
        "imports": lambda: python("-c", "import prefect, mlflow", more=home.variables),
    }
    found = interleaved(ways, QUICK_ROUNDS if quick else ROUNDS)
    line = Measured(
        name="a release that exists",
        unit="s",
        value=found["again"],
        floor=found["imports"],
        floor_name=FLOOR,
        bars=(at_most(2.0), at_most(8.0, of="value")),
    )
    return Figure(name="noop", measured=(line,))
