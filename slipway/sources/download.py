"""The download from the Hub: every file is fetched, verified and kept on its own.

A failure costs the file that it met. Finished files wait in a partial folder for the others; one
that an earlier run left there is used only after its bytes were found to be those that the Hub
lists at the commit.
"""

import hashlib
import shutil
from collections.abc import Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import SlipwayError, StoreDamaged
from slipway.sources import hub_client
from slipway.sources.download_progress import Meter
from slipway.sources.hub_client import Listed, RepositoryAddress
from slipway.system import store
from slipway.system.progress import Progress, silent

ATTEMPTS = 3
WAIT_SECONDS = 2.0
MAX_WAIT_SECONDS = 300.0  # the Hub counts requests in windows of five minutes

_WORKERS = 4
_NEWS_SECONDS = 0.5
_CLIENTS_OWN = ".cache"  # where the client keeps locks, and what it has not finished


@dataclass(frozen=True)
class Download:
    """Files of one commit that are wanted here.

    Attributes:
        place: Where they are.
        paths: The files, relative to the repository; what else is there is not asked for.
        progress: Hears of the bytes that are here.
        wait_seconds: Wait after a file's first failure; it doubles with the next.
    """

    place: RepositoryAddress
    paths: Sequence[str]
    progress: Progress = silent
    wait_seconds: float = WAIT_SECONDS

    def write(self, into: Path, partial: Path | None = None) -> dict[str, str]:
        """Write the files into a folder, all of them or none.

        Args:
            into: The folder.
            partial: Where finished files wait for the others, on the same disk as ``into``; below
                ``into`` unless they are to outlive a failure.

        Returns:
            SHA-256 of each file, 64 hex digits, by path; taken once it was on the disk.

        Raises:
            StoreDamaged: If what arrives is not what the Hub lists.
            SourceRefused: If the Hub does not list one of the files.
            SourceMissing: If the repository is not open to us.
            Unreachable: If the Hub does not answer.
        """
        room = partial or into / ".partial"
        shutil.rmtree(room / _CLIENTS_OWN, ignore_errors=True)
        files = hub_client.listing(self.place, self.paths)
        self.progress(0.0, _plan(self.place, files, room))
        meter = Meter(self.progress, sum(file.size_bytes for file in files))
        digests = _Fetch(self.place, room, meter, self.wait_seconds).all(files)
        for path in self.paths:
            (into / path).parent.mkdir(parents=True, exist_ok=True)
            (room / path).rename(into / path)
        shutil.rmtree(room)
        return digests


@dataclass(frozen=True)
class _Fetch:
    place: RepositoryAddress
    room: Path
    meter: Meter
    wait_seconds: float

    def all(self, files: Sequence[Listed]) -> dict[str, str]:
        """Return the SHA-256 of each file by path, once all of them are in the room."""
        with ThreadPoolExecutor(_WORKERS) as workers:
            running = {file.path: workers.submit(self.one, file) for file in files}
            try:
                self._watch(set(running.values()))
            except BaseException as error:
                if not isinstance(error, SlipwayError):
                    self.meter.stop()  # somebody wants to leave; else what has begun may finish
                workers.shutdown(cancel_futures=True)
                raise
            return {path: each.result() for path, each in running.items()}

    def one(self, file: Listed) -> str:
        """Return the SHA-256 of ``file``, once it is in the room."""
        if (self.room / file.path).is_file():
            with suppress(StoreDamaged):
                return self._verified(file)
        cache = None
        for attempt in range(ATTEMPTS - 1):
            try:
                return self._attempt(file, cache)
            except SlipwayError as error:
                seconds = max(hub_client.asked_seconds(error), self.wait_seconds * 2**attempt)
                if not error.retryable or seconds > MAX_WAIT_SECONDS:
                    raise
            self.meter.pause(seconds)
            cache = self.room / _CLIENTS_OWN  # the client's own cache may be what is damaged
        return self._attempt(file, cache)

    def _watch(self, running: set[Future[str]]) -> None:
        """Wait for all; the news are told here, in the caller's thread and context."""
        while running:
            done, running = futures.wait(running, _NEWS_SECONDS, futures.FIRST_EXCEPTION)
            self.meter.tell()
            for each in done:
                each.result()

    def _attempt(self, file: Listed, cache: Path | None) -> str:
        self.meter.begin(file.path)
        with hub_client.translated(*self.place):
            hub_client.client(self.place.endpoint).hf_hub_download(
                self.place.repo,
                file.path,
                revision=self.place.commit,
                local_dir=self.room,
                cache_dir=cache,
                tqdm_class=self.meter.bar(file.path),
            )
        return self._verified(file)

    def _verified(self, file: Listed) -> str:
        target = self.room / file.path
        found = _sha256_on_disk(target)
        right = file.sha256 == found if file.sha256 else file.git_oid == _git_oid(target)
        if not right:
            target.unlink()
            raise StoreDamaged(str(self.place), file.path)
        self.meter.finish(file.path, file.size_bytes)
        return found


def _plan(place: RepositoryAddress, files: Sequence[Listed], room: Path) -> str:
    """Say what a download will do."""
    total_bytes = sum(file.size_bytes for file in files)
    here = [file for file in files if (room / file.path).is_file()]
    text = f"fetching {len(files)} files of {place}, {total_bytes / 1e6:.0f} MB"
    return f"{text}; {len(here)} of them are here already, to be checked" if here else text


def _sha256_on_disk(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits, once its bytes are on the disk."""
    with ThreadPoolExecutor(1) as beside:
        flushed = beside.submit(store.flush, path)  # the disk writes while the processor hashes
        found = store.sha256(path)
        flushed.result()
    return found


def _git_oid(path: Path) -> str:
    """Return git's id of a file's content, 40 hex digits.

    Source: "Git Objects", Pro Git, https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    """
    header = f"blob {path.stat().st_size}\0".encode()
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.sha1(header, usedforsecurity=False)
        ).hexdigest()
