"""What a benchmark found: values with their spread, their floor, and whether the bar is reached."""

import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from slipway.values import Value


class Sample(Value):
    """The values of the rounds."""

    rounds: tuple[float, ...] = Field(min_length=1)

    @property
    def median(self) -> float:
        """Return the middle of them."""
        return statistics.median(self.rounds)

    @classmethod
    def of(cls, *rounds: float) -> Self:
        """Return a sample of these values."""
        return cls(rounds=rounds)


class Bar(Value):
    """What a value, or its ratio to the floor, has to reach."""

    kind: Literal["at most", "at least"]
    limit: float
    of: Literal["value", "ratio"] = "ratio"

    def is_reached(self, found: float) -> bool:
        """Return whether a figure is good enough."""
        return found <= self.limit if self.kind == "at most" else found >= self.limit


class Measured(Value):
    """One line of the table.

    Attributes:
        name: What was measured, in words; Markdown.
        unit: Of value and floor.
        floor: Values of the floor, or of a peer, in the same run and the same unit.
        floor_name: What the floor is, in words.
        bars: What it has to reach; none where the figure is only shown.
    """

    name: str
    unit: str
    value: Sample
    floor: Sample | None = None
    floor_name: str = ""
    bars: tuple[Bar, ...] = ()

    @property
    def ratio(self) -> float | None:
        """Return how many times the floor it is, by the medians."""
        return self.value.median / self.floor.median if self.floor else None

    @property
    def missed(self) -> tuple[Bar, ...]:
        """Return the bars that it does not reach; a bar of a ratio needs a floor."""
        return tuple(bar for bar in self.bars if not self._reaches(bar))

    def _reaches(self, bar: Bar) -> bool:
        found = self.value.median if bar.of == "value" else self.ratio
        return found is not None and bar.is_reached(found)


class Machine(Value):
    """Where it was measured."""

    processor: str
    cores: int
    memory_gb: float
    python: str

    @classmethod
    @cache
    def here(cls) -> Self:
        """Return this machine."""
        return cls(
            processor=_processor(),
            cores=os.cpu_count() or 1,
            memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            python=platform.python_version(),
        )


class Figure(Value):
    """What one benchmark found.

    Attributes:
        name: As it is called on the command line.
        measured: The lines of the table.
        parts: Seconds by step: where the time of the first line goes.
        notes: What a reader of the table has to know, a sentence or two each.
        not_run: What was left out here, and why.
        quick: Whether the sizes were those of a trial, which say nothing about speed.
        load: Processes that wanted to run, on average of a minute before the start and at the end.
        seconds: What the benchmark took.
    """

    name: str
    measured: tuple[Measured, ...]
    parts: dict[str, float] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    not_run: tuple[str, ...] = ()
    quick: bool = False
    machine: Machine = Field(default_factory=Machine.here)
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    load: tuple[float, float] = (0.0, 0.0)
    seconds: float = 0.0

    @property
    def missed(self) -> Sequence[Measured]:
        """Return the lines that miss a bar."""
        return [each for each in self.measured if each.missed]


def at_most(limit: float, of: Literal["value", "ratio"] = "ratio") -> Bar:
    """Return the bar that a figure may not exceed."""
    return Bar(kind="at most", limit=limit, of=of)


def at_least(limit: float) -> Bar:
    """Return the bar that a ratio has to reach."""
    return Bar(kind="at least", limit=limit)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
