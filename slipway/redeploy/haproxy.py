"""Another switch: HAProxy before two servers, moved through its admin socket without a reload.

Besides all or nothing it can give a new version a share of the requests, the canary. The backend
has two servers, of which one serves and the other is idle::

    backend slipway
        server blue  127.0.0.1:8001 weight 100
        server green 127.0.0.1:8002 weight 100 disabled
"""

import csv
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import CandidateFailed, SlipwayError, Unreachable

_ANSWER_SECONDS = 10.0
_POLL_SECONDS = 0.2
_WHOLE = 100  # percent


@dataclass(frozen=True)
class AdminSocket:
    """HAProxy's runtime interface (``stats socket PATH level admin``).

    Attributes:
        path: Of the socket.
        backend: Whose servers are meant.
    """

    path: Path
    backend: str

    def weigh(self, server: str, percent: int) -> None:
        """Set a server's share, as a percentage of the weight that it was configured with."""
        self._command(f"set server {self.backend}/{server} weight {percent}%")

    def set_state(self, server: str, state: str) -> None:
        """Let a server take requests (``ready``), no new ones (``drain``), or none (``maint``)."""
        self._command(f"set server {self.backend}/{server} state {state}")

    def sessions(self) -> Mapping[str, int]:
        """Return how many requests each server is answering now."""
        lines = self._ask("show stat").removeprefix("# ").splitlines()
        rows = [row for row in csv.DictReader(lines) if row["pxname"] == self.backend]
        return {row["svname"]: int(row["scur"]) for row in rows}

    def _command(self, command: str) -> None:
        """Send what is answered with silence when it succeeds."""
        if answer := self._ask(command).strip():
            raise Unreachable("HAProxy", str(self.path), f"{command}: {answer}")

    def _ask(self, command: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_ANSWER_SECONDS)
                connection.connect(str(self.path))
                connection.sendall(f"{command}\n".encode())
                return b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode()
        except OSError as error:
            raise Unreachable("HAProxy", str(self.path), str(error)) from error


@dataclass(frozen=True)
class HaproxySwitch:
    """Moves all requests from the server that serves to the idle one.

    Attributes:
        model: Name of the registered model.
        admin: HAProxy.
        serving: Name of the server that serves.
        idle: Name of the other.
        start: Makes the idle server answer with a version, and returns once it is ready.
        canary_percent: Share of the new version while ``watch`` looks; 0 for no canary.
        watch: Raises if the canary does not do well.
        drain_seconds: Longest that the last requests of the old version may take.
    """

    model: str
    admin: AdminSocket
    serving: str
    idle: str
    start: Callable[[int], None]
    canary_percent: int
    watch: Callable[[], None]
    drain_seconds: float

    def __call__(self, version: int) -> None:
        """Return once the old version has answered its last request.

        Raises:
            CandidateFailed: If the new version could not be started, or its canary did not do well.
        """
        try:
            self.start(version)
            if self.canary_percent:
                self.share(self.canary_percent)
                self.watch()
        except SlipwayError as error:
            self.go_back()
            raise CandidateFailed(self.model, version, str(error)) from error
        self.share(_WHOLE)
        self._drain(self.serving)

    def share(self, percent: int) -> None:
        """Give the idle server this share of the requests, and the serving one the rest."""
        self.admin.weigh(self.idle, percent)
        self.admin.set_state(self.idle, "ready")
        self.admin.weigh(self.serving, _WHOLE - percent)

    def go_back(self) -> None:
        """Give the serving server everything, and let the idle one end what it began."""
        self.admin.weigh(self.serving, _WHOLE)
        self.admin.set_state(self.serving, "ready")
        self.admin.set_state(self.idle, "drain")

    def _drain(self, server: str) -> None:
        self.admin.set_state(server, "drain")
        deadline = time.monotonic() + self.drain_seconds
        while self.admin.sessions()[server] and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
