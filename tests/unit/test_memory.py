"""The memory of a container is its limit, not what its machine has."""

from pathlib import Path

import psutil
import pytest

from slipway.system import memory

GIGABYTE = 10**9


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let this process be in the control group ``/pod/container``; return the folder of all."""
    own = tmp_path / "own"
    own.write_text("0::/pod/container\n", encoding="utf-8")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_OWN_GROUP", own)
    return tmp_path / "cgroup"


def limit(folder: Path, text: str, used: int = 0, cached: int = 0) -> None:
    """Write the files of a control group; most of what is cached was read twice."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{text}\n", encoding="utf-8")
    (folder / "memory.current").write_text(f"{used}\n", encoding="utf-8")
    parts = {"active_file": cached - 2000, "inactive_file": 1500, "slab_reclaimable": 500}
    lines = [f"{name} {size}" for name, size in parts.items() if cached]
    stat = "\n".join([f"anon {used - cached}", *lines, "slab 9000", ""])
    (folder / "memory.stat").write_text(stat, encoding="utf-8")


def test_a_limit_of_the_container_counts(groups: Path) -> None:
    """What the kernel caches of files is free; what processes use is not."""
    limit(groups / "pod" / "container", str(2 * GIGABYTE), used=GIGABYTE, cached=GIGABYTE // 2)

    assert memory.total_bytes() == 2 * GIGABYTE
    assert memory.free_bytes() == pytest.approx(1.5 * GIGABYTE)


def test_the_smallest_limit_around_it_counts(groups: Path) -> None:
    """A pod has a limit for all of its containers; one that is used up leaves nothing."""
    limit(groups / "pod" / "container", "max", used=GIGABYTE)
    limit(groups / "pod", str(GIGABYTE), used=2 * GIGABYTE)
    (groups / "cgroup.controllers").write_text("memory", encoding="utf-8")

    assert (memory.total_bytes(), memory.free_bytes()) == (GIGABYTE, 0)


def test_without_a_limit_the_machine_counts(groups: Path) -> None:
    """Also where there is no control group at all."""
    machine = psutil.virtual_memory()
    assert memory.total_bytes() == machine.total
    limit(groups / "pod" / "container", "max", used=GIGABYTE)
    limit(groups, str(10 * machine.total))

    assert memory.total_bytes() == machine.total
    assert memory.free_bytes() == pytest.approx(machine.available, rel=0.3)
