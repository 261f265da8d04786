"""Notes in the home that say where this home's Prefect and MLflow servers run.

Two Prefect servers on one SQLite file lock each other out. Whatever starts a server therefore
leaves a note, and every command uses the server of the note instead of starting one.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from slipway.settings import Settings
from slipway.system.process import start_seconds

#: The servers that leave notes, and the variable that names each for its clients.
_VARIABLES = {"prefect": "PREFECT_API_URL", "mlflow": "MLFLOW_TRACKING_URI"}
_PATHS = {"prefect": "/api", "mlflow": ""}


@dataclass(frozen=True)  # no Value: every command reads notes, and pydantic takes its time
class ServerNote:
    """What keeps a server running, and where the server listens.

    Attributes:
        pid: The process that keeps the server running.
        started_seconds: When this process started, after its machine did: numbers are given out
            again.
        url: Base URL without a trailing slash.
    """

    pid: int
    started_seconds: float
    url: str

    @property
    def is_current(self) -> bool:
        """Whether this process is still running."""
        try:
            is_same = start_seconds(self.pid) == self.started_seconds
            return is_same and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def find(home: Path, server: str) -> ServerNote | None:
    """Return the note of ``prefect`` or ``mlflow``; None if the server does not run."""
    try:
        note = ServerNote(**json.loads(_file(home, server).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return note if note.is_current else None


def leave(home: Path, server: str, url: str) -> None:
    """Note that this process keeps a server running, also after it became that server."""
    if server not in _VARIABLES:
        return
    pid = os.getpid()
    note = ServerNote(pid=pid, started_seconds=start_seconds(pid), url=url.rstrip("/"))
    file = _file(home, server)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(f".{note.pid}")
    new.write_text(json.dumps(asdict(note)), encoding="utf-8")
    new.replace(file)


def remove(home: Path) -> None:
    """Remove the notes of this process."""
    for server in _VARIABLES:
        note = find(home, server)
        if note and note.pid == os.getpid():
            _file(home, server).unlink(missing_ok=True)


def use(settings: Settings) -> None:
    """Name the servers of this home to this process, unless the environment names others."""
    for server, variable in _VARIABLES.items():
        note = find(settings.home, server)
        if note and not os.environ.get(variable):
            os.environ[variable] = note.url + _PATHS[server]
            # Only the home's own servers receive the password that was generated for it.
            os.environ[f"SLIPWAY_{server.upper()}_URL"] = note.url


def _file(home: Path, server: str) -> Path:
    return home.resolve() / "servers" / f"{server}.json"
