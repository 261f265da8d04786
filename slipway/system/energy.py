"""The energy that this machine's processors use, as Linux counts it.

The counters are RAPL's, in microjoules since some moment, see
https://docs.kernel.org/power/powercap/powercap.html. A processor package counts all of its cores,
its caches and its memory controller, for whatever process they work.

No library reads them here: pyRAPL is no longer kept, and codecarbon and zeus read the same files
from a tracker of their own, with threads, configuration and look-ups that a difference of two
readings does not need.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")

_ENERGY = "energy_uj"


@dataclass(frozen=True)
class EnergyCounters:
    """The counters of all processor packages.

    Attributes:
        ranges: By the folder of a package, the microjoules after which it counts from 0 again.
    """

    ranges: Mapping[Path, int]

    def read(self) -> tuple[int, ...]:
        """Return the microjoules of every package."""
        return tuple(_number(package / _ENERGY) for package in self.ranges)

    def joules_since(self, before: tuple[int, ...]) -> float:
        """Return what all packages have used since an earlier reading.

        Args:
            before: Of less time ago than a counter takes for its whole range, some minutes.
        """
        ends = zip(before, self.read(), self.ranges.values(), strict=True)
        return sum((now - then) % full for then, now, full in ends) / 1e6


def find(folder: Path = POWERCAP) -> EnergyCounters | str:
    """Return the machine's counters, or in one line why there are none to read.

    Args:
        folder: Where Linux shows them. Of its zones, those named ``package`` are whole packages;
            others are a part of one, or the whole computer.
    """
    zones = sorted(folder.glob("intel-rapl:*"))  # AMD's processors have the same name
    packages = [each for each in zones if (each / "name").read_text().startswith("package")]
    if not packages:
        return f"{folder} has no energy counters, as on most virtual machines"
    try:
        counters = EnergyCounters(
            {each: _number(each / "max_energy_range_uj") for each in packages}
        )
        counters.read()
    except PermissionError:
        files = f"{folder}/intel-rapl:*/{_ENERGY}"
        return f'no permission to read the energy counters: sudo chown "$USER" {files}'
    except OSError as error:
        return f"the energy counters cannot be read: {error.strerror}"
    return counters


def _number(file: Path) -> int:
    return int(file.read_text())
