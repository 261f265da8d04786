"""What is slow to make and always the same, made once for all workers and runs of the tests."""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".pytest_cache" / "slipway"

#: Packages that shape a checkpoint, an ONNX artifact or a database.
_PACKAGES = (
    "mlflow",
    "onnx",
    "onnxruntime-genai",
    "prefect",
    "tokenizers",
    "torch",
    "transformers",
)


def cached(name: str, make: Callable[[Path], object], *inputs: object) -> Path:
    """Return a folder that ``make`` filled, in this run or in an earlier one.

    Args:
        name: What the folder holds; the first part of its own name.
        make: Fills an empty folder; called once for equal inputs, whichever process comes first.
        inputs: Everything that decides what is made, as JSON has it.

    Returns:
        The folder. Tests read it and never write to it.
    """
    identity = json.dumps([inputs, [version(package) for package in _PACKAGES]], sort_keys=True)
    folder = FOLDER / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            part = folder.with_suffix(f".{os.getpid()}")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            try:
                make(part)
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return folder


def digest(*paths: Path) -> str:
    """Return one SHA-256 over the names and contents of files and folders."""
    files = sorted(file for path in paths for file in (path, *path.rglob("*")) if file.is_file())
    contents = (file.name.encode() + hashlib.sha256(file.read_bytes()).digest() for file in files)
    return hashlib.sha256(b"".join(contents)).hexdigest()


def copy_home(source: Path, target: Path) -> None:
    """Copy a project's folder to another place, so that everything in it works there.

    MLflow and the store keep absolute paths; they are written again.

    Args:
        source: The folder; no process uses it.
        target: Where the copy goes; must not exist, or be empty.
    """
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.db"))
    for database in source.rglob("*.db"):
        _copy_database(database, target / database.relative_to(source), str(source), str(target))
    for file in target.rglob("*"):
        if file.is_file() and file.suffix not in {".db", ".data", ".onnx", ".safetensors"}:
            content = file.read_bytes()
            if str(source).encode() in content:
                file.write_bytes(content.replace(str(source).encode(), str(target).encode()))


def _copy_database(source: Path, target: Path, before: str, after: str) -> None:
    with sqlite3.connect(source) as read, sqlite3.connect(target) as written:
        text = "\n".join(read.iterdump())
        written.executescript(text.replace(before, after))
    read.close()
    written.close()
