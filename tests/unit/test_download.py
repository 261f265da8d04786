"""A download keeps verified files, and requests the others again."""

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from slipway.errors import SourceRefused, StoreDamaged, Unreachable
from slipway.sources.download import Download
from slipway.sources.hub_client import RepositoryAddress
from slipway.system.progress import Progress, silent
from slipway.system.store import Store, verify
from tests.support.acme_models import NEEDED, REPO, contents, download_of
from tests.support.hub import (
    Answer,
    Fault,
    LocalHub,
    RunningHub,
    error_status,
    meanwhile,
    stall,
    wrong_bytes,
)

KEY = "weights-acme--tiny-0123"
WEIGHTS = "model[1].safetensors"
ANY_WEIGHTS = "*.safetensors"


@pytest.fixture
def address(acme: LocalHub, running: RunningHub) -> RepositoryAddress:
    """The model's commit on the local Hub."""
    return RepositoryAddress(REPO, acme.repository(REPO).resolve("main").id, running.endpoint)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


def fill(
    address: RepositoryAddress, store: Store, progress: Progress = silent
) -> Callable[[Path], dict[str, str]]:
    """Return what fills the entry with the files of a checkpoint, hardly waiting for anything."""
    wanted = download_of(address, NEEDED, progress, wait_seconds=0.01)
    return lambda into: wanted.write(into, store.partial(KEY))


def make(address: RepositoryAddress, store: Store, progress: Progress = silent) -> dict[str, bytes]:
    """Make the entry, and return its verified contents."""
    entry = store.make(KEY, fill(address, store, progress))
    verify(entry)
    return contents(entry.folder)


def requested(running: RunningHub) -> list[str]:
    """Return the names of the files whose bytes were requested, sorted."""
    files = [one for one in running.requests if one.method == "GET" and "/resolve/" in one.path]
    return sorted(one.path.rpartition("/")[2] for one in files)


def names(store: Store) -> set[str]:
    """Return the names in the store, without locks."""
    return {path.name for path in store.root.iterdir() if path.suffix != ".lock"}


def waiting(store: Store) -> dict[str, bytes]:
    """Return the finished files that wait for others."""
    return {p: b for p, b in contents(store.partial(KEY)).items() if not p.startswith(".cache")}


def test_a_failure_costs_the_file_that_it_met(
    running: RunningHub, address: RepositoryAddress, store: Store
) -> None:
    """The others are verified and wait; the next run asks for the one that is missing."""
    running.faults.add(error_status(500), ANY_WEIGHTS, count=None)
    with pytest.raises(Unreachable):
        make(address, store)
    others = {path: content for path, content in NEEDED.items() if path != WEIGHTS}
    before = requested(running)
    running.faults.clear()

    made = make(address, store)

    assert before == sorted([*others, WEIGHTS, WEIGHTS, WEIGHTS])
    assert requested(running) == sorted([*before, WEIGHTS])
    assert made == NEEDED
    assert names(store) == {KEY}


@pytest.mark.parametrize("path", [WEIGHTS, "config.json"])
def test_bytes_that_stay_wrong_are_an_error_and_are_not_stored(
    running: RunningHub, address: RepositoryAddress, store: Store, path: str
) -> None:
    """With the SHA-256 of large files as with git's ids of small ones."""
    order = running.faults.add(wrong_bytes, f"*/{path.replace('[1]', '?1?')}", count=None)

    with pytest.raises(StoreDamaged) as caught:
        make(address, store)

    assert (caught.value.key, caught.value.file) == (str(address), path)
    assert order.met == 3
    assert waiting(store) == {name: NEEDED[name] for name in NEEDED if name != path}
    assert store.find(KEY) is None


@pytest.mark.parametrize("left", [b"x" * len(NEEDED[WEIGHTS]), NEEDED[WEIGHTS][:-1], b""])
def test_what_an_earlier_run_left_is_used_only_if_it_is_right(
    running: RunningHub, address: RepositoryAddress, store: Store, left: bytes
) -> None:
    """Be it of the right size or not; and what was never wanted goes."""
    partial = store.partial(KEY)
    partial.mkdir(parents=True)
    for path, content in (NEEDED | {WEIGHTS: left, "modeling_tiny.py": b"print()"}).items():
        (partial / path).write_bytes(content)
    reports: list[str] = []

    made = make(address, store, lambda _, text: reports.append(text))

    assert made == NEEDED
    assert requested(running) == [WEIGHTS]
    assert names(store) == {KEY}
    count = len(NEEDED)
    present = f"{count} of them are present and will be checked"
    assert reports[0] == f"downloading {count} files of {address}, 0 MB; {present}"


def test_an_entry_that_is_there_needs_no_partial_folder(
    running: RunningHub, address: RepositoryAddress, store: Store
) -> None:
    """A run that was killed between publishing and clearing away has left one."""
    filled = fill(address, store)
    store.make(KEY, filled)
    count = len(running.requests)
    store.partial(KEY).mkdir()
    (store.partial(KEY) / WEIGHTS).write_bytes(b"left")

    assert contents(store.make(KEY, filled).folder) == NEEDED
    assert names(store) == {KEY}
    assert len(running.requests) == count


def test_a_killed_download_goes_on_and_leaves_nothing(
    running: RunningHub, address: RepositoryAddress, store: Store
) -> None:
    """No unfinished files and no locks of the client; finished files are not requested again."""
    running.faults.add(stall(60, after_bytes=1000), ANY_WEIGHTS)
    script = (
        "from pathlib import Path; from slipway.sources.download import Download; "
        "from slipway.sources.hub_client import RepositoryAddress; "
        "from slipway.system.store import Store; "
        f"store = Store(Path({str(store.root)!r})); "
        f"wanted = Download(RepositoryAddress(*{tuple(address)!r}), "
        f"{tuple(NEEDED)!r}, {download_of(address, NEEDED).files_digest!r}); "
        f"store.make({KEY!r}, lambda into: wanted.write(into, store.partial({KEY!r})))"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    others = sorted(set(NEEDED) - {WEIGHTS})
    deadline = time.monotonic() + 60
    while requested(running) != sorted(NEEDED) or sorted(waiting(store)) != others:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    unfinished = list(store.partial(KEY).rglob("*.incomplete"))

    made = make(address, store)

    assert len(unfinished) == 1
    assert made == NEEDED
    assert requested(running) == sorted([*NEEDED, WEIGHTS])
    assert names(store) == {KEY}


def test_a_damaged_cache_of_the_client_is_passed_by(
    running: RunningHub, address: RepositoryAddress, store: Store
) -> None:
    """A file in it spares a request, if it is right; it is verified like any other."""
    api = HfApi(endpoint=address.endpoint)
    right, wrong = (
        Path(api.hf_hub_download(REPO, path, revision=address.commit))
        for path in ("LICENSE", WEIGHTS)
    )
    wrong.resolve().write_bytes(b"x" * len(NEEDED[WEIGHTS]))

    made = make(address, store)

    assert right.read_bytes() == made["LICENSE"]
    assert made == NEEDED
    assert requested(running) == sorted([*NEEDED, WEIGHTS])


def test_a_branch_that_moves_in_the_middle_changes_nothing(
    acme: LocalHub, running: RunningHub, address: RepositoryAddress, store: Store
) -> None:
    """Names, digests and bytes are all those of the pinned commit."""
    push = meanwhile(lambda: acme.push(REPO, {WEIGHTS: b"other", "config.json": b"[]"}))
    order = running.faults.add(push, "*/resolve/*")

    assert make(address, store) == NEEDED
    assert order.met == 1


def test_a_file_that_the_hub_does_not_list_is_refused(
    address: RepositoryAddress, tmp_path: Path
) -> None:
    """Nothing is downloaded of a changed revision."""
    with pytest.raises(SourceRefused) as caught:
        Download(address, (*NEEDED, "gone.json"), "0" * 64).write(tmp_path)

    assert str(caught.value) == f"gone.json: not listed in {address}; resolve it again"
    assert list(tmp_path.glob("*.json")) == []


def busy(retry_after: str) -> Fault:
    """Return an answer with this ``Retry-After``."""
    return lambda _answer: Answer(503, {"retry-after": retry_after})


@pytest.mark.parametrize("as_date", [False, True])
def test_a_retry_waits_as_long_as_the_server_asks(
    running: RunningHub, address: RepositoryAddress, store: Store, as_date: bool
) -> None:
    """In seconds, or until a date."""
    moment = datetime.now(tz=UTC) + timedelta(seconds=3)
    running.faults.add(busy(format_datetime(moment, usegmt=True) if as_date else "2"), ANY_WEIGHTS)
    started = time.monotonic()

    assert make(address, store) == NEEDED
    assert 1.5 <= time.monotonic() - started < 10


@pytest.mark.parametrize(
    "retry_after", ["soon", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 -0000"]
)
def test_an_invalid_retry_after_is_ignored(
    running: RunningHub, address: RepositoryAddress, store: Store, retry_after: str
) -> None:
    """The usual wait applies if it cannot be read, or is in the past."""
    order = running.faults.add(busy(retry_after), ANY_WEIGHTS)

    assert make(address, store) == NEEDED
    assert order.met == 1


def test_a_long_retry_after_is_an_error(
    running: RunningHub, address: RepositoryAddress, store: Store
) -> None:
    """Whether to wait an hour is the user's decision."""
    order = running.faults.add(busy("3600"), ANY_WEIGHTS, count=None)

    with pytest.raises(Unreachable):
        make(address, store)

    assert order.met == 1
