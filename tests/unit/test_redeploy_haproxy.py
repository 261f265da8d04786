"""The HAProxy switch speaks three commands; here something speaks them back over a real socket."""

import shutil
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway.errors import CandidateFailed, Unreachable
from slipway.redeploy.haproxy import AdminSocket, HaproxySwitch
from slipway.redeploy.trial import free_port


class Proxy(socketserver.ThreadingUnixStreamServer):
    """Keeps the state of two servers, as HAProxy's runtime interface shows and changes it."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Answer)
        self.weights = {"blue": 100, "green": 100}
        self.states = {"blue": "ready", "green": "maint"}
        self.sessions = {"blue": 2, "green": 0}
        self.told: list[str] = []

    def share(self, server: str) -> float:
        """Return the share of new requests that a server gets, in percent."""
        weights = {
            name: weight for name, weight in self.weights.items() if self.states[name] == "ready"
        }
        return 100 * weights.get(server, 0) / max(sum(weights.values()), 1)

    def obey(self, command: str) -> str:
        """Carry out one command, and return what HAProxy would print."""
        if command == "show stat":
            rows = [f"slipway,{name},{count}," for name, count in self.sessions.items()]
            self.sessions = {name: max(count - 1, 0) for name, count in self.sessions.items()}
            return "\n".join(["# pxname,svname,scur,", *rows, "front,FRONTEND,9,", ""])
        self.told.append(command)
        place, what, value = command.removeprefix("set server ").split()
        name = place.removeprefix("slipway/")
        if name not in self.weights:
            return "No such server.\n"
        if what == "weight":
            self.weights[name] = int(value.removesuffix("%"))
        else:
            self.states[name] = value
        return "\n"


class Answer(socketserver.StreamRequestHandler):
    """One connection, one command."""

    server: Proxy

    def handle(self) -> None:
        """Answer it."""
        command = self.rfile.readline().decode().strip()
        self.wfile.write(self.server.obey(command).encode())


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Something that behaves as HAProxy's admin socket does."""
    with Proxy(tmp_path / "admin.sock") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def switch(path: Path, **changes: Any) -> HaproxySwitch:
    """Return a switch from blue to green."""
    fields: dict[str, Any] = {
        "model": "tiny",
        "admin": AdminSocket(path, "slipway"),
        "serving": "blue",
        "idle": "green",
        "start": lambda _version: None,
        "canary_percent": 10,
        "watch": lambda: None,
        "drain_seconds": 5.0,
    }
    return HaproxySwitch(**fields | changes)


def test_a_canary_gets_its_share_and_then_everything(proxy: Proxy, tmp_path: Path) -> None:
    """The idle server is started first, watched at ten percent, and the other is drained."""
    seen: list[tuple[str, float]] = []

    switch(
        tmp_path / "admin.sock",
        start=lambda version: seen.append((f"start {version}", proxy.share("green"))),
        watch=lambda: seen.append(("watch", proxy.share("green"))),
    )(4)

    assert seen == [("start 4", 0), ("watch", 10)]
    assert proxy.share("green") == 100
    assert proxy.states["blue"] == "drain"
    assert proxy.sessions["blue"] == 0


def test_a_bad_canary_gives_everything_back(proxy: Proxy, tmp_path: Path) -> None:
    """The reason is told, and the server that served serves as before."""

    def watch() -> None:
        raise Unreachable("the canary", "green", "3 of 10 answers were errors")

    with pytest.raises(CandidateFailed, match="3 of 10 answers were errors"):
        switch(tmp_path / "admin.sock", watch=watch)(4)

    assert proxy.share("blue") == 100
    assert (proxy.weights["blue"], proxy.states["green"]) == (100, "drain")


def test_a_refused_command_and_a_missing_socket_are_told(proxy: Proxy, tmp_path: Path) -> None:
    """HAProxy answers a wrong name with words, and a missing one not at all."""
    with pytest.raises(Unreachable, match=r"red weight 10%: No such server"):
        AdminSocket(tmp_path / "admin.sock", "slipway").weigh("red", 10)
    with pytest.raises(Unreachable, match="HAProxy at"):
        AdminSocket(tmp_path / "no.sock", "slipway").sessions()


class Named(BaseHTTPRequestHandler):
    """Answers with the name of its server."""

    def do_GET(self) -> None:
        """Answer; the path ``/slow`` takes a second."""
        time.sleep(1.0 if self.path == "/slow" else 0)
        body = self.server.colour.encode()  # type: ignore[attr-defined] # set below
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def real_haproxy(folder: Path) -> Iterator[str]:
    """Run HAProxy before two small servers, blue and green; give its address."""
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Named) as blue,
        ThreadingHTTPServer(("127.0.0.1", 0), Named) as green,
    ):
        for server, colour in ((blue, "blue"), (green, "green")):
            server.colour = colour  # type: ignore[attr-defined]
            threading.Thread(target=server.serve_forever, daemon=True).start()
        port = free_port()
        (folder / "haproxy.cfg").write_text(
            f"global\n  stats socket {folder}/admin.sock level admin\n"
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n"
            "  timeout server 30s\n"
            f"frontend front\n  bind 127.0.0.1:{port}\n  default_backend slipway\n"
            "backend slipway\n"
            f"  server blue 127.0.0.1:{blue.server_address[1]} weight 100\n"
            f"  server green 127.0.0.1:{green.server_address[1]} weight 100 disabled\n",
            encoding="utf-8",
        )
        process = subprocess.Popen([shutil.which("haproxy") or "", "-f", folder / "haproxy.cfg"])
        try:
            _wait_for(folder / "admin.sock")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)
            blue.shutdown()
            green.shutdown()


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="this machine has no haproxy to run")
def test_a_real_haproxy_moves_every_request_and_ends_none(tmp_path: Path) -> None:
    """A slow answer that began before the switch ends well; the canary gets about its share."""
    shares: list[float] = []
    with real_haproxy(tmp_path) as url:

        def watch() -> None:
            colours = [httpx.get(url, trust_env=False).text for _ in range(200)]
            shares.append(colours.count("green") / len(colours))

        slow: list[str] = []
        asking = threading.Thread(
            target=lambda: slow.append(httpx.get(f"{url}/slow", trust_env=False).text)
        )
        asking.start()
        time.sleep(0.2)
        switch(tmp_path / "admin.sock", watch=watch)(4)
        after = {httpx.get(url, trust_env=False).text for _ in range(20)}
        asking.join()

    assert 0.05 <= shares[0] <= 0.15
    assert slow == ["blue"]
    assert after == {"green"}
