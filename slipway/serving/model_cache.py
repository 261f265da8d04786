"""Copies of what an MLflow server keeps: one a version, shared by trial, workers and restarts."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from slipway import keys
from slipway.serving.pointer import Pointer
from slipway.system.store import Store

#: Name of their folder, in that of the model's server.
FOLDER = "copies"


def cached_copy(
    pointer: Pointer, released: Mapping[str, str], root: Path, fetch: Callable[[Path], None]
) -> Path:
    """Return the folder of a version's copy, every byte of which was read just now.

    Args:
        pointer: Which version.
        released: Its digests; a copy with others is another copy.
        root: Folder of all copies.
        fetch: Writes the files into an empty folder, and raises if they are not those released.
    """
    key = f"{pointer.version}-{keys.digest(dict(released))[:16]}"
    return Store(root).make(key, fetch).folder


def keep(root: Path, versions: set[int]) -> None:
    """Remove the copies of all versions but these."""
    for copy in root.glob("*-*/"):
        if copy.name.partition("-")[0] not in {str(version) for version in versions}:
            shutil.rmtree(copy, ignore_errors=True)
