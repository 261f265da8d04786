"""What ``slipway up`` does at each look, beside looking after its services."""

import errno
import shutil
import sys
from io import StringIO
from pathlib import Path

import pytest

from commands import up
from commands.up import AppliedCatalogue, take
from slipway.errors import StepCrashed
from slipway.settings import Settings


def full_disk() -> None:
    """Fail as a write to a full disk does."""
    raise OSError(errno.ENOSPC, "No space left on device", "pointer.json")


def test_a_fault_of_the_machine_ends_nothing_and_is_printed_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The other looks are taken all the same; a fault that comes back is printed again."""
    taken: list[int] = []
    faults = set[str]()
    for look in (full_disk, full_disk, full_disk, lambda: None, full_disk):
        faults = take((look, lambda: taken.append(1)), faults)

    assert len(taken) == 5
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "No space left on device: 'pointer.json'" in lines[0]


def test_an_output_on_a_full_disk_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a service of the system, which writes to a file."""
    output = StringIO()
    output.flush = full_disk  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdout", output)

    assert take((full_disk,), set())


class Servers:
    """What a catalogue is applied to; refuses it while ``away``."""

    def __init__(self) -> None:
        self.away = True
        self.tries = 0

    def apply(self) -> None:
        """Count the try."""
        self.tries += 1
        if self.away:
            raise StepCrashed("apply", "Prefect: nothing listens there", "up-apply.log")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a catalogue without faults."""
    return Path(shutil.copy(Settings().catalogue, tmp_path))


def change(file: Path, text: str = "\n") -> None:
    """Add to the catalogue."""
    with file.open("a", encoding="utf-8") as catalogue:
        catalogue.write(text)


def test_a_changed_catalogue_is_applied_until_that_succeeds(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect may be starting again at that moment; each try takes seconds, so not at each look."""
    servers = Servers()
    applied = AppliedCatalogue(file, servers.apply)
    change(file)
    for _ in range(3):
        applied.apply_changed()
    assert servers.tries == 1

    monkeypatch.setattr(up, "_APPLY_SECONDS", 0.0)
    applied.apply_changed()
    servers.away = False
    for _ in range(3):
        applied.apply_changed()

    assert servers.tries == 3


def test_a_catalogue_with_faults_waits_for_its_correction(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its faults are printed once, and nothing is applied; the correction is, at the next look."""
    monkeypatch.setattr(up, "_APPLY_SECONDS", 0.0)
    servers = Servers()
    servers.away = False
    good = file.read_text(encoding="utf-8")
    applied = AppliedCatalogue(file, servers.apply)
    change(file, "[models.Wrong]\n")
    for _ in range(3):
        applied.apply_changed()
    assert (servers.tries, capsys.readouterr().out.count("is not applied")) == (0, 1)

    file.write_text(good + "\n", encoding="utf-8")
    applied.apply_changed()

    assert servers.tries == 1
