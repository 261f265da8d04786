"""Secrets that this machine generates, in files that only their owner can read."""

import base64
import contextlib
import os
import secrets
import tempfile
from pathlib import Path

_BYTES = 32


def keep_private(home: Path) -> None:
    """Let this user alone read what this process and its children write, and what ``home`` has."""
    os.umask(0o077)
    with contextlib.suppress(OSError):  # there is none yet, or it belongs to another user
        home.chmod(0o700)


def secret(home: Path, name: str, prefix: str = "") -> str:
    """Return the secret ``name``, made on first use: 32 random bytes as URL-safe base64.

    Processes that ask for it at the same time receive the same secret.

    Args:
        home: Slipway's home; secrets are in its folder ``secrets``.
        name: Its file.
        prefix: Precedes a new one.
    """
    path = home.resolve() / "secrets" / name
    if not path.is_file():
        key = base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).decode()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        made = _written(path, prefix + key)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(made)
        made.unlink()
    return path.read_text(encoding="utf-8")


def write(path: Path, text: str) -> None:
    """Write a file that at no moment anybody else can read; its folder stays as it is."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _written(path, text).rename(path)


def _written(path: Path, text: str) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent)  # with mode 0600, see mkstemp(3)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)
