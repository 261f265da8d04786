"""Seventy faults of a download, each once and for good: verified files or a clear error.

Each is a fault at an offset; a table of the outcomes is printed (``make faults``).
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slipway.system.store import Store, verify
from tests.support import download_faults
from tests.support.acme_models import contents
from tests.support.download_faults import FAULTS, FILES, OFFSETS

pytestmark = pytest.mark.slow  # waits out the limits of 140 downloads

Outcomes = list[dict[str, Any]]

_DAMAGED = {"other byte", "web page"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the downloads' store."""
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> Outcomes:
    """Return the outcome of every download, from another process."""
    environment = {
        **os.environ,
        "HF_HOME": str(folder / "home"),
        "HF_HUB_DOWNLOAD_TIMEOUT": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_VERBOSITY": "error",
    }
    command = [sys.executable, download_faults.__file__, str(folder)]
    done = subprocess.run(command, env=environment, check=True, timeout=240, stdout=subprocess.PIPE)
    rows: Outcomes = json.loads(done.stdout)
    return rows


def test_the_table_of_faults_is_printed(outcomes: Outcomes) -> None:
    """A line per fault and offset; each fault happened, and all seventy were tried."""
    width = max(map(len, FAULTS))
    print(f"\n{'fault':{width}}  {'at byte':>8}  {'once':24}  for good")  # noqa: T201
    for once, ever in zip(outcomes[::2], outcomes[1::2], strict=True):
        cells = [f"{each['outcome']}, {each['requests']} requests" for each in (once, ever)]
        print(f"{once['fault']:{width}}  {once['offset']:8}  {cells[0]:24}  {cells[1]}")  # noqa: T201

    assert len(outcomes) == 2 * len(FAULTS) * len(OFFSETS) == 140
    assert [each for each in outcomes if each["met"] == 0] == []


def test_a_fault_that_passes_ends_in_verified_files(outcomes: Outcomes) -> None:
    """For every fault, at every offset."""
    assert {each["outcome"] for each in outcomes if not each["lasts"]} == {"verified"}


def test_a_fault_that_stays_ends_in_the_error_that_names_it(outcomes: Outcomes) -> None:
    """Wrong bytes and a failing server have different errors; the requests are limited."""
    lasting = [each for each in outcomes if each["lasts"]]

    for each in lasting:
        expected = "StoreDamaged" if each["fault"] in _DAMAGED else "Unreachable"
        assert (each["outcome"], each["fault"]) == (expected, each["fault"])
    assert max(each["requests"] for each in lasting) <= 3 * 7


def test_no_wrong_byte_is_in_the_store(folder: Path, outcomes: Outcomes) -> None:
    """Entries are complete; only verified files wait for a next attempt."""
    store = Store(folder / "store")
    made = {path.name for path in store.root.iterdir() if path.suffix not in {".lock", ".partial"}}
    verified = [each for each in outcomes if each["outcome"] == "verified"]

    assert len(made) == len(verified)
    for name in made:
        entry = store.find(name)
        assert entry is not None
        verify(entry)
        assert contents(entry.folder) == FILES
    for partial in store.root.glob("*.partial"):
        waiting = {p: b for p, b in contents(partial).items() if not p.startswith(".cache/")}
        assert waiting.items() <= FILES.items()
