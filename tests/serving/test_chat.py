"""``slipway chat``: lines in, answers out, from a real server and in a real terminal."""

import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from commands.main import run
from tests.support.model_servers import MADRID, MODEL, SPAIN, Server
from tests.support.network import free_port

#: Runs the command in a session whose terminal is its standard input: Ctrl-C comes from there.
CODE = """\
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from commands.main import run
sys.exit(run(sys.argv[1:]))
"""
ONE_PIECE = "Say yes"


def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, *lines: str
) -> tuple[int, str, str]:
    """Return the exit code, the answers and the remarks of a chat with these lines."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    monkeypatch.setenv("COLUMNS", "300")
    code = run(["chat", MODEL, "--url", url])
    return code, *capsys.readouterr()


def test_a_conversation_goes_on_until_a_new_one_begins(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each answer has its figures; what was said before is sent again, until ``/new``."""
    code, answers, remarks = told(
        monkeypatch, capsys, f"{server.url}/v1/", SPAIN, "/version", "/new", SPAIN
    )

    assert code == 0, remarks
    first, second = answers.splitlines()
    assert (first, second) == (MADRID, MADRID)
    assert f"tiny v1 at {server.url}; /new begins a new conversation" in remarks
    assert "tiny v1, digest " in remarks
    figures = [line for line in remarks.splitlines() if " tokens/s · " in line]
    assert len(figures) == 2
    assert all(line.startswith("v1 · ") and line.endswith(" · stop") for line in figures)


def test_a_chat_without_a_server_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, before anything is typed."""
    url = f"http://127.0.0.1:{free_port()}"

    code, answers, remarks = told(monkeypatch, capsys, url, SPAIN)

    assert (code, answers) == (1, "")
    assert remarks.startswith(f"slipway: no model server answers at {url} (")
    assert "run `slipway serve tiny` or `slipway up`" in remarks
    assert len(remarks.splitlines()) == 1


def test_an_unknown_model_is_refused_in_the_servers_words(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server knows which models it has."""
    monkeypatch.setenv("COLUMNS", "300")

    assert run(["chat", "no/such model", "--url", server.url]) == 1

    assert "does not" in capsys.readouterr().err


class _Endless(BaseHTTPRequestHandler):
    """A model server whose answer never ends, and which wants a key.

    Attributes:
        asked: What was said in each conversation that it was asked to continue.
    """

    asked: ClassVar[list[list[str]]] = []

    def do_GET(self) -> None:
        """Describe the model."""
        self._begin(json.dumps({"id": MODEL, "version": 1, "digest": "ab"}).encode())

    def do_POST(self) -> None:
        """Stream one piece after another, until the client leaves; the first would ring a bell.

        A message that asks for one piece gets one.
        """
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = [each["content"] for each in body["messages"]]
        self.asked.append(said)
        self._begin(b'data: {"choices": [{"delta": {"content": "Yes."}}]}\n\n')
        if said[-1] == ONE_PIECE:
            return
        try:
            while True:
                chunk = {"choices": [{"delta": {"content": "on\u2028\a and "}}]}
                self.wfile.write(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode())
                self.wfile.flush()
                time.sleep(0.01)
        except OSError:
            return

    def _begin(self, body: bytes) -> None:
        known = self.headers["Authorization"] == "Bearer a-key"
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(body if known else b'{"error": {"message": "a key is required"}}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        """Print nothing."""


@pytest.fixture(scope="module")
def endless() -> Iterator[str]:
    """Return the address of such a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Endless) as started:
        started.daemon_threads = True
        Thread(target=started.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{started.server_port}"
        started.shutdown()


def test_a_server_that_wants_a_key_is_told_from_others(
    endless: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the variable."""
    code, _, remarks = told(monkeypatch, capsys, endless, SPAIN)

    assert code == 1
    assert "a key is required; set SLIPWAY_SERVE_KEY to a key of this server" in remarks


def test_what_was_said_is_sent_again_until_a_new_conversation(
    endless: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model has no memory of its own."""
    monkeypatch.setenv("SLIPWAY_SERVE_KEY", "a-key")
    _Endless.asked.clear()

    code, answers, _ = told(monkeypatch, capsys, endless, ONE_PIECE, ONE_PIECE, "/new", ONE_PIECE)

    assert (code, answers) == (0, "Yes.\n" * 3)
    assert _Endless.asked == [[ONE_PIECE], [ONE_PIECE, "Yes.", ONE_PIECE], [ONE_PIECE]]


def test_ctrl_c_ends_an_answer_and_ctrl_d_the_chat(endless: str, tmp_path: Path) -> None:
    """In a terminal; what the terminal would obey is not printed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "chat", MODEL, "--url", endless],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"SLIPWAY_HOME": str(tmp_path), "SLIPWAY_SERVE_KEY": "a-key"},
        start_new_session=True,
    )
    os.close(theirs)
    seen = ""

    def until(text: str, *, press: bytes = b"") -> None:
        """Press keys, again after each silent second, and read until the text is there.

        A Ctrl-C between readline's prompt and its wait is only seen with the next key.
        """
        nonlocal seen
        end = time.monotonic() + 120
        os.write(ours, press)
        while text not in seen:
            assert time.monotonic() < end, f"{text!r} is missing after {seen[-400:]!r}"
            if select.select([ours], [], [], 1)[0]:
                seen += os.read(ours, 1 << 16).decode(errors="replace")
            else:
                os.write(ours, press)
        seen = seen.partition(text)[2]

    try:
        until("> ")
        os.write(ours, b"go on\n")
        until("on\ufffd\ufffd and on")
        os.write(ours, b"\x03")
        until("ended by Ctrl-C")
        until("> ")
        until("Ctrl-D leaves the chat", press=b"\x03")
        until("> ")
        os.write(ours, b"/version\n")
        until("digest ab")
        until("> ")
        os.write(ours, b"\x04")
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
