"""No module grows beyond what a person reads in one go: a ratchet that only tightens."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from slipway.settings import PROJECT

LONGEST = 300  # lines
FOLDERS = (
    "benchmarks",
    "commands",
    "deployments",
    "flows",
    "slipway",
    "tasks",
    "tests",
    "wrappers",
)

#: Modules that were longer when the ratchet was set, with their length. It may only shrink.
EXCEPTIONS: Mapping[str, int] = {"slipway/errors.py": 365}


def modules(project: Path) -> Iterator[Path]:
    """Yield every module of the project."""
    for folder in FOLDERS:
        yield from sorted((project / folder).rglob("*.py"))


def faults(project: Path, exceptions: Mapping[str, int]) -> list[str]:
    """Return what breaks the ratchet: too long, longer than its exception, or shorter than it."""
    found = []
    for module in modules(project):
        name = module.relative_to(project).as_posix()
        length = len(module.read_text(encoding="utf-8").splitlines())
        allowed = exceptions.get(name, LONGEST)
        if length > allowed:
            found.append(f"{name}: {length} lines (at most {allowed}); split it along its parts")
        elif name in exceptions and length < allowed:
            found.append(f"{name}: {length} lines; lower its exception from {allowed}")
    return found


def test_no_module_is_longer_than_allowed() -> None:
    """Nor is an exception larger than its module needs."""
    assert faults(PROJECT, EXCEPTIONS) == []


def test_every_folder_with_code_is_looked_at() -> None:
    """A new one has to be named above, and so has a module that an exception is for."""
    with_code = {
        path.name
        for path in PROJECT.iterdir()
        if path.is_dir()
        and path.name[0] != "."
        and path.name not in {"build", "dist"}
        and next(path.rglob("*.py"), None)
    }

    assert with_code <= set(FOLDERS)
    assert set(EXCEPTIONS) <= {path.relative_to(PROJECT).as_posix() for path in modules(PROJECT)}
    assert all(length > LONGEST for length in EXCEPTIONS.values())


@pytest.mark.parametrize(
    ("length", "exceptions", "fault"),
    [
        (300, {}, []),
        (301, {}, ["flows/one.py: 301 lines (at most 300); split it along its parts"]),
        (350, {"flows/one.py": 350}, []),
        (
            351,
            {"flows/one.py": 350},
            ["flows/one.py: 351 lines (at most 350); split it along its parts"],
        ),
        (
            349,
            {"flows/one.py": 350},
            ["flows/one.py: 349 lines; lower its exception from 350"],
        ),
    ],
)
def test_the_ratchet_bites(
    tmp_path: Path, length: int, exceptions: Mapping[str, int], fault: list[str]
) -> None:
    """One line too many is one too many, and what has shrunk may not grow again."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "one.py").write_text("x = 1\n" * length, encoding="utf-8")

    assert faults(tmp_path, exceptions) == fault
