"""How much of a download is here, counted while its files arrive side by side."""

import threading
import time
from typing import Any

from slipway.system.progress import Progress

#: What is left of a step's progress for the checks that follow a download.
_SHARE_OF_STEP = 0.95


class DownloadStopped(Exception):
    """Ends a thread whose download nobody waits for any more."""


class Meter:
    """Counts bytes for all threads of a download.

    Args:
        progress: Hears of them, in the thread that calls :meth:`tell`.
        total_bytes: Size of all files.
    """

    def __init__(self, progress: Progress, total_bytes: int) -> None:
        self._progress = progress
        self._total_bytes = total_bytes
        self._here_bytes: dict[str, int] = {}
        self._arrived_bytes = 0
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def begin(self, path: str) -> None:
        """Begin a file anew: nothing of it is here."""
        self.finish(path, 0)

    def finish(self, path: str, size_bytes: int) -> None:
        """Take ``size_bytes`` of a file for here, however they came."""
        with self._lock:
            self._here_bytes[path] = size_bytes

    def add(self, path: str, count_bytes: int) -> None:
        """Count bytes of a file that arrived, or with a minus those that are fetched again.

        Raises:
            DownloadStopped: If nobody waits for them any more.
        """
        if self._stopped.is_set():
            raise DownloadStopped
        with self._lock:
            self._here_bytes[path] += count_bytes
            self._arrived_bytes += max(count_bytes, 0)

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            DownloadStopped: As soon as nobody waits for the outcome any more.
        """
        if self._stopped.wait(seconds):
            raise DownloadStopped

    def stop(self) -> None:
        """End all threads of the download, each with its next bytes."""
        self._stopped.set()

    def tell(self) -> None:
        """Say how much is here and how fast it comes."""
        with self._lock:
            here_bytes, arrived_bytes = sum(self._here_bytes.values()), self._arrived_bytes
        speed = arrived_bytes / max(time.monotonic() - self._started, 1e-3)
        share = _SHARE_OF_STEP * min(here_bytes / max(self._total_bytes, 1), 1.0)
        done = f"{here_bytes / 1e6:.1f} of {self._total_bytes / 1e6:.1f} MB"
        self._progress(share, f"fetching {done}, {speed / 1e6:.1f} MB/s")

    def bar(self, path: str) -> type:
        """Return a progress bar class for the Hub's client that shows nothing and counts here."""
        from huggingface_hub.utils import tqdm

        meter = self

        class Bar(tqdm):  # type: ignore[misc] # the client is not typed for us
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options | {"disable": True})

            def update(self, n: float | None = 1) -> None:
                meter.add(path, int(n or 0))

            # With these two the client keeps one bar for a file, not one for the network besides.
            def update_transfer(self, n: float) -> None:
                """Count nothing: the same bytes are counted when they reach the disk."""

            def set_transfer_postfix_str(self, *args: Any, **options: Any) -> None:
                """Show nothing."""

        return Bar
