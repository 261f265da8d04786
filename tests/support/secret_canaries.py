"""Unique fake secrets, the search for them in all that was written, and a witness of processes."""

import base64
import contextlib
import os
import re
import secrets
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_LOOK_SECONDS = 0.2
_BASE64_OF = 3  # bytes that four characters stand for; a text may begin at any of them


def kernel() -> str:
    """Return what no other text has in it, and no quoting changes: 24 letters and digits."""
    return f"c4n4ry{secrets.token_hex(9)}"


def forms(secret: str) -> set[bytes]:
    """Return how a secret may be written: as it is, in base64 wherever it begins there, in hex."""
    plain = secret.encode()
    found = {plain, plain.hex().encode(), plain[::-1], secret.encode("utf-16-le")}
    for skipped in range(_BASE64_OF):
        whole = plain[skipped : len(plain) - (len(plain) - skipped) % _BASE64_OF]
        found |= {base64.b64encode(whole), base64.urlsafe_b64encode(whole)}
    return found


def hits(texts: Mapping[str, bytes], canaries: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return which canary was found in which text."""
    wanted = {name: re.compile(b"|".join(map(re.escape, forms(c)))) for name, c in canaries.items()}
    return {
        (name, where)
        for where, text in texts.items()
        for name, pattern in wanted.items()
        if pattern.search(text)
    }


def written(folder: Path, but: Path) -> dict[str, bytes]:
    """Return every byte below ``folder``, but for one folder in it; and what databases hold.

    A database is read as a file and row by row: a long text is scattered over pages there.
    """
    files = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and not path.is_relative_to(but)
    }
    found = {name: path.read_bytes() for name, path in files.items()}
    unpacked = {f"{name} unpacked": _unpacked(text) for name, text in found.items()}
    databases = [name for name, text in found.items() if text.startswith(b"SQLite format 3")]
    rows = {f"{name} rows": _rows(files[name]) for name in databases}
    return found | {name: text for name, text in unpacked.items() if text} | rows


def _unpacked(text: bytes) -> bytes:
    with contextlib.suppress(zlib.error):
        start = text.find(b"\x1f\x8b")
        return (
            zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(text[start:]) if start >= 0 else b""
        )
    return b""


def _rows(path: Path) -> bytes:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return "\n".join(database.iterdump()).encode()


@dataclass
class Witness:
    """What the processes that run below this one find in their environment.

    Attributes:
        seen: Command line and environment, by command line.
    """

    seen: dict[str, bytes] = field(default_factory=dict)
    _known: set[tuple[int, bytes]] = field(default_factory=set)

    def look(self) -> None:
        """Look at every process once for each program that it runs."""
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(OSError, psutil.Error):
                self._look_at(Path("/proc", str(process.pid)), process.ppid())

    def _look_at(self, process: Path, parent: int) -> None:
        command = (process / "cmdline").read_bytes()
        if not command or (int(process.name), command) in self._known:
            return
        environment = (process / "environ").read_bytes()
        if command == (process / "cmdline").read_bytes():  # it has become no other meanwhile
            self._known.add((int(process.name), command))
            text = _text(command)
            if "python" not in text.partition(" ")[0]:  # a tool of the system, asked by a library
                text += f" of {_text(Path('/proc', str(parent), 'cmdline').read_bytes())}"
            self.seen[text] = self.seen.get(text, b"") + command + environment


def _text(command: bytes) -> str:
    return command.replace(b"\0", b" ").decode().strip()


@contextmanager
def watched() -> Iterator[Witness]:
    """Look at every process below this one while the body runs."""
    witness, done = Witness(), threading.Event()

    def keep_looking() -> None:
        while not done.wait(_LOOK_SECONDS):
            witness.look()

    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield witness
    finally:
        done.set()
        thread.join()


def sandboxed(folder: Path) -> dict[str, str]:
    """Return variables that keep all that is written below ``folder``, temporary files too."""
    for name in ("tmp", "user"):
        (folder / name).mkdir()
    fonts = os.environ.get("MPLCONFIGDIR", str(Path.home() / ".cache" / "matplotlib"))
    return {
        "HOME": str(folder / "user"),
        "MPLCONFIGDIR": fonts,  # made once for all, which takes a while
        "TMPDIR": str(folder / "tmp"),
    }
