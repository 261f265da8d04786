"""A download reports its progress, and ends when it is interrupted."""

import threading
import time
from pathlib import Path

import pytest

from slipway.sources.hub_client import RepositoryAddress
from tests.support.acme_models import NEEDED, REPO, contents, download_of
from tests.support.hub import LocalHub, RunningHub, error_status, stall, wrong_bytes


def test_progress_counts_the_bytes_that_are_present(
    acme: LocalHub, running: RunningHub, tmp_path: Path
) -> None:
    """From nothing to all, in the caller's thread, with the speed; wrong bytes are taken back."""
    files = {f"model-{number}.safetensors": bytes([number]) * 3_000_000 for number in range(4)}
    commit = acme.push("acme/large", files)
    running.faults.add(wrong_bytes, "*/model-0.safetensors")
    running.faults.add(stall(4), "*/model-3.safetensors")
    reports: list[tuple[float | None, str]] = []
    threads: set[threading.Thread] = set()

    def listen(share: float | None, text: str) -> None:
        reports.append((share, text))
        threads.add(threading.current_thread())

    address = RepositoryAddress("acme/large", commit, running.endpoint)
    download_of(address, files, listen, wait_seconds=0.01).write(tmp_path)

    shares = [share for share, _ in reports if share is not None]
    assert threads == {threading.current_thread()}
    assert len(shares) == len(reports) >= 3
    assert shares[0] == 0
    assert max(shares) == shares[-1] == pytest.approx(0.95)
    assert any("downloading 9.0 of 12.0 MB, " in text for _, text in reports)
    assert reports[-1][1].startswith("downloading 12.0 of 12.0 MB, ")
    assert reports[-1][1].endswith(" MB/s")


def test_an_interrupt_ends_a_download_that_waits(
    acme: LocalHub, running: RunningHub, tmp_path: Path
) -> None:
    """It waits neither for other files nor for the next attempt; nothing is written."""
    commit = acme.repository(REPO).resolve("main").id
    running.faults.add(error_status(503, retry_after_seconds=200), "*.safetensors")
    started = time.monotonic()

    def interrupt(share: float | None, text: str) -> None:
        if share and " MB/s" in text:
            raise KeyboardInterrupt

    address = RepositoryAddress(REPO, commit, running.endpoint)
    wanted = download_of(address, NEEDED, interrupt)
    with pytest.raises(KeyboardInterrupt):
        wanted.write(tmp_path / "into", tmp_path / "partial")

    assert time.monotonic() - started < 10
    assert not (tmp_path / "into").exists()


def test_an_interrupt_ends_a_download_whose_bytes_arrive(
    acme: LocalHub, running: RunningHub, tmp_path: Path
) -> None:
    """The thread that reads them ends with the next ones, long before the file is complete."""
    commit = acme.push("acme/large", {"model.safetensors": bytes(60_000_000)})
    running.faults.add(stall(2, after_bytes=10_500_000), "*.safetensors")

    def interrupt(share: float | None, text: str) -> None:
        if share:
            raise KeyboardInterrupt

    address = RepositoryAddress("acme/large", commit, running.endpoint)
    with pytest.raises(KeyboardInterrupt):
        download_of(address, ("model.safetensors",), interrupt).write(tmp_path)

    left = {path.rpartition("/")[2] for path in contents(tmp_path / ".partial")}
    assert not {name for name in left if name.endswith((".incomplete", ".safetensors"))}
