"""llama.cpp as a peer: its server, with the same weights, where it is installed.

It runs in an interpreter of its own, whose path is in ``BENCH_LLAMA_PYTHON``: for example of
``python -m venv FOLDER && FOLDER/bin/pip install xllamacpp gguf``.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

import psutil

from slipway.values import Entry, PackageSource

Bits = Literal["q8_0", "as-it-is"]
MODEL = "measured"
_VARIABLE = "BENCH_LLAMA_PYTHON"
_SCRIPT = Path(__file__).with_name("llama_server.py")


def unavailable(entry: Entry) -> str | None:
    """Return why llama.cpp cannot run a model here; None if it can."""
    python = os.environ.get(_VARIABLE)
    if not python:
        return f"llama.cpp is not installed ({_VARIABLE} names no interpreter with xllamacpp)"
    if not isinstance(entry.source, PackageSource):
        return "the model has no GGUF that llama.cpp could run"
    check = [python, "-c", "import xllamacpp, gguf"]
    if subprocess.run(check, capture_output=True, check=False).returncode:
        return f"{python} ({_VARIABLE}) has not the packages xllamacpp and gguf"
    return None


def gguf_of(entry: Entry) -> Path:
    """Return the GGUF of a model whose weights come in a package."""
    assert isinstance(entry.source, PackageSource)  # noqa: S101 - see ``unavailable``
    try:
        installed = distribution(entry.source.package)
    except PackageNotFoundError as error:
        raise SystemExit(f"{entry.source.package} is not installed") from error
    return Path(str(installed.locate_file(entry.source.file)))


@contextmanager
def served(gguf: Path, bits: Bits) -> Iterator[tuple[str, psutil.Process]]:
    """Serve a GGUF; give the server's address and process."""
    command = [os.environ[_VARIABLE], str(_SCRIPT), str(gguf), MODEL, bits, str(os.cpu_count())]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        url = process.stdout.readline().strip() if process.stdout else ""
        if not url:
            raise SystemExit(f"llama.cpp's server did not start; {' '.join(command)} says why")
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)
