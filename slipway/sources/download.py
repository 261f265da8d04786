"""The download from the Hub: every file is downloaded, verified and kept on its own.

A failure costs only the file that it met. Finished files wait in a partial folder for the others.
A file that an earlier run left there is used only if its bytes are those that the Hub lists at the
commit.
"""

import hashlib
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError, StoreDamaged
from slipway.sources import hub_client
from slipway.sources.hub_client import ListedFile, RepositoryAddress
from slipway.system import store
from slipway.system.failpoints import failpoint
from slipway.system.progress import Progress, silent
from slipway.validation import contents, names

ATTEMPTS = 3
WAIT_SECONDS = 2.0
MAX_WAIT_SECONDS = 300.0  # the Hub counts requests in windows of five minutes

_WORKERS = 4
_REPORT_SECONDS = 0.5
_CLIENT_FOLDER = ".cache"  # of the client: locks and unfinished files
#: The rest of the step's progress is for the checks that follow a download.
_SHARE_OF_STEP = 0.95


@dataclass(frozen=True)
class Download:
    """Files of one commit to download.

    Attributes:
        address: The commit.
        paths: The files, relative to the repository; no others are requested.
        files_digest: What their digest was when the commit was resolved.
        progress: Receives the downloaded share.
        wait_seconds: Wait after a file's first failure; it doubles with the next.
    """

    address: RepositoryAddress
    paths: Sequence[str]
    files_digest: str
    progress: Progress = silent
    wait_seconds: float = field(default_factory=lambda: WAIT_SECONDS)

    def write(self, into: Path, partial: Path | None = None) -> dict[str, str]:
        """Write the files into a folder, all of them or none.

        Args:
            into: The folder.
            partial: Where finished files wait for the others, on the same disk as ``into``; a
                folder in ``into`` unless they are to survive a failure.

        Returns:
            SHA-256 of each file, 64 hex digits, by path; computed once it was on the disk.

        Raises:
            StoreDamaged: If the received bytes are not those that the Hub lists.
            SourceRefused: If the Hub lists others than when the commit was resolved.
        """
        names.require_inside(str(self.address), self.paths)
        folder = partial or into / ".partial"
        shutil.rmtree(folder / _CLIENT_FOLDER, ignore_errors=True)
        files = hub_client.list_files(self.address, self.paths, self.files_digest)
        for file in files:
            contents.require_size(file.path, file.size_bytes)
        self.progress(0.0, _plan(self.address, files, folder))
        meter = _Meter(self.progress, sum(file.size_bytes for file in files))
        digests = _Transfer(self.address, folder, meter, self.wait_seconds).all(files)
        failpoint("download.before-move")
        for path in self.paths:
            (into / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).rename(into / path)
        failpoint("download.after-move")
        shutil.rmtree(folder)
        return digests


class DownloadStopped(Exception):
    """Ends a thread whose download was interrupted."""


class _Meter:
    """Counts the bytes of all threads of a download.

    Args:
        progress: Called in the thread that calls :meth:`report`.
        total_bytes: Size of all files.
    """

    def __init__(self, progress: Progress, total_bytes: int) -> None:
        self._progress = progress
        self._total_bytes = total_bytes
        self._present_bytes: dict[str, int] = {}
        self._listed_bytes: dict[str, int] = {}
        self._received_bytes = 0
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def set(self, path: str, size_bytes: int) -> None:
        """Set how many bytes of a file are present."""
        with self._lock:
            self._present_bytes[path] = size_bytes

    def begin(self, file: ListedFile) -> None:
        """Expect the bytes of a file, and not more of them than the Hub lists."""
        with self._lock:
            self._present_bytes[file.path], self._listed_bytes[file.path] = 0, file.size_bytes

    def add(self, path: str, count_bytes: int) -> None:
        """Add received bytes of a file; a negative number takes back bytes that come again.

        Raises:
            DownloadStopped: After :meth:`stop`.
            StoreDamaged: If these are more than the file has.
        """
        if self._stopped.is_set():
            raise DownloadStopped
        with self._lock:
            self._present_bytes[path] += count_bytes
            self._received_bytes += max(count_bytes, 0)
            if self._present_bytes[path] > self._listed_bytes[path]:
                raise StoreDamaged("the download", path)

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            DownloadStopped: As soon as :meth:`stop` is called.
        """
        if self._stopped.wait(seconds):
            raise DownloadStopped

    def stop(self) -> None:
        """End all threads of the download, each with its next bytes."""
        self._stopped.set()

    def report(self) -> None:
        """Report the downloaded share and the speed."""
        with self._lock:
            present_bytes, received_bytes = sum(self._present_bytes.values()), self._received_bytes
        speed = received_bytes / max(time.monotonic() - self._started, 1e-3)
        share = _SHARE_OF_STEP * min(present_bytes / max(self._total_bytes, 1), 1.0)
        done = f"{present_bytes / 1e6:.1f} of {self._total_bytes / 1e6:.1f} MB"
        self._progress(share, f"downloading {done}, {speed / 1e6:.1f} MB/s")

    def progress_bar(self, path: str) -> type:
        """Return a progress bar class for the Hub's client that shows nothing and counts here."""
        from huggingface_hub.utils import tqdm

        meter = self

        class Bar(tqdm):  # type: ignore[misc] # the client is not typed for us
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options | {"disable": True})

            def update(self, n: float | None = 1) -> None:
                meter.add(path, int(n or 0))

            # With these two the client uses one bar a file, and none for the network besides.
            def update_transfer(self, n: float) -> None:
                """Count nothing: the same bytes are counted when they reach the disk."""

            def set_transfer_postfix_str(self, *args: Any, **options: Any) -> None:
                """Show nothing."""

        return Bar


@dataclass(frozen=True)
class _Transfer:
    address: RepositoryAddress
    folder: Path
    meter: _Meter
    wait_seconds: float

    def all(self, files: Sequence[ListedFile]) -> dict[str, str]:
        """Return the SHA-256 of each file by path, once all of them are in the folder."""
        with ThreadPoolExecutor(_WORKERS) as workers:
            running = {file.path: workers.submit(self.one, file) for file in files}
            try:
                self._watch(set(running.values()))
            except BaseException as error:
                if not isinstance(error, SlipwayError):
                    self.meter.stop()  # an interrupt; after an error, running files may finish
                workers.shutdown(cancel_futures=True)
                raise
            return {path: each.result() for path, each in running.items()}

    def one(self, file: ListedFile) -> str:
        """Return the SHA-256 of ``file``, once it is in the folder."""
        if (self.folder / file.path).is_file():
            with suppress(StoreDamaged):
                return self._verified(file)
        cache = None
        for attempt in range(ATTEMPTS - 1):
            try:
                return self._attempt(file, cache)
            except SlipwayError as error:
                requested_seconds = hub_client.retry_after_seconds(error)
                seconds = max(requested_seconds, self.wait_seconds * 2**attempt)
                if not error.retryable or seconds > MAX_WAIT_SECONDS:
                    raise
            self.meter.pause(seconds)
            cache = self.folder / _CLIENT_FOLDER  # the damaged file may be in the client's cache
        return self._attempt(file, cache)

    def _watch(self, running: set[Future[str]]) -> None:
        """Wait for all files; progress is reported here, in the caller's thread and context."""
        while running:
            done, running = futures.wait(running, _REPORT_SECONDS, futures.FIRST_EXCEPTION)
            self.meter.report()
            for each in done:
                each.result()

    def _attempt(self, file: ListedFile, cache: Path | None) -> str:
        self.meter.begin(file)
        with hub_client.translated_errors(*self.address):
            hub_client.client(self.address.endpoint).hf_hub_download(
                self.address.repo,
                file.path,
                revision=self.address.commit,
                local_dir=self.folder,
                cache_dir=cache,
                tqdm_class=self.meter.progress_bar(file.path),
            )
        return self._verified(file)

    def _verified(self, file: ListedFile) -> str:
        path = self.folder / file.path
        sha256 = _sha256_on_disk(path)
        right = sha256 == file.sha256 if file.sha256 else _git_oid(path) == file.git_oid
        if not right:
            path.unlink()
            raise StoreDamaged(str(self.address), file.path)
        self.meter.set(file.path, file.size_bytes)
        return sha256


def _plan(address: RepositoryAddress, files: Sequence[ListedFile], folder: Path) -> str:
    total_bytes = sum(file.size_bytes for file in files)
    present = sum((folder / file.path).is_file() for file in files)
    text = f"downloading {len(files)} files of {address}, {total_bytes / 1e6:.0f} MB"
    return f"{text}; {present} of them are present and will be checked" if present else text


def _sha256_on_disk(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits, once its bytes are on the disk."""
    with ThreadPoolExecutor(1) as executor:
        flushed = executor.submit(store.flush, path)  # the disk writes while the processor hashes
        sha256 = store.sha256(path)
        flushed.result()
    return sha256


def _git_oid(path: Path) -> str:
    """Return git's id of a file's content, 40 hex digits.

    Source: "Git Objects", Pro Git, https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    """
    header = f"blob {path.stat().st_size}\0".encode()
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.sha1(header, usedforsecurity=False)
        ).hexdigest()
