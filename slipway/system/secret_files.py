"""Secrets that this machine generates, in files that only their owner can read."""

import base64
import contextlib
import os
import secrets
import tempfile
from pathlib import Path

_BYTES = 32


def secret(home: Path, name: str) -> str:
    """Return the secret ``name``, made on first use: 32 random bytes as URL-safe base64.

    Processes that ask for it at the same time receive the same secret.

    Args:
        home: Slipway's home; secrets are in its folder ``secrets``.
        name: Its file.
    """
    path = home.resolve() / "secrets" / name
    if not path.is_file():
        made = _written(path, base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).decode())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(made)
        made.unlink()
    return path.read_text(encoding="utf-8")


def write(path: Path, text: str) -> None:
    """Write a file that at no moment anybody else can read."""
    _written(path, text).rename(path)


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    handle, name = tempfile.mkstemp(dir=path.parent)  # with mode 0600, see mkstemp(3)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)
