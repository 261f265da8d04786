"""Output of the command line: tables for people, JSON for scripts, one line for an error.

Nothing else prints: texts of a listing, a model or a server lose here what a terminal would obey.
"""

import errno
import json as json_library
import os
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from contextvars import ContextVar
from http import HTTPStatus
from pathlib import Path
from typing import Any, TextIO

from commands import home
from slipway.errors import CatalogueInvalid, HomeUnusable, InternalError, SlipwayError
from slipway.libraries import apply_environment
from slipway.settings import Settings
from slipway.system import disk
from slipway.validation.texts import UNSEEN, printable

#: Errors of files that a person may not write.
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}

_WIDTH_OF_A_FILE = 10_000  # characters: a file or a pipe has lines of any length

#: Where JSON goes; None for standard output.
_documents: ContextVar[TextIO | None] = ContextVar("documents", default=None)


@contextmanager
def alone_on_stdout() -> Iterator[None]:
    """Let nothing but ``show`` print to standard output: what libraries print goes to stderr."""
    token = _documents.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _documents.reset(token)


def show(document: Any) -> None:
    """Print ``document`` as JSON."""
    file = _documents.get() or sys.stdout
    is_unicode = (file.encoding or "utf-8").lower().startswith("utf")
    text = json_library.dumps(document, indent=2, ensure_ascii=not is_unicode, default=str)
    text = UNSEEN.sub(lambda found: json_library.dumps(found[0])[1:-1], text)
    print(text, file=file, flush=True)


def say(text: str = "", *, error: bool = False) -> None:
    """Print a text for people at once, to stderr if it is an error."""
    print(printable(text), file=sys.stderr if error else sys.stdout, flush=True)


def write(text: str) -> None:
    """Print a piece of a line at once."""
    print(printable(text), end="", flush=True)


def note(text: str) -> None:
    """Print a remark that is not part of the output: dim in a terminal, to stderr."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(Text(printable(text)), style="dim", soft_wrap=True)


def table(
    title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], *, style: str = ""
) -> None:
    """Print rows under headings; without a heading that has text, the heading's line is left out.

    Long cells are wrapped in a terminal, and not in a file or a pipe, which programs search.

    Args:
        title: Printed above.
        headings: One a column.
        rows: One text a column.
        style: Of the first column, as rich names it.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def plain(text: str) -> Text:  # rich would read a string as its markup
        return Text(printable(text))

    view = Table(box=None, pad_edge=False, show_header=any(headings))
    for number, heading in enumerate(headings):
        view.add_column(plain(heading), overflow="fold", style=style if number == 0 else "")
    for row in rows:
        view.add_row(*map(plain, row))
    is_fixed = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(highlight=False, width=None if is_fixed else _WIDTH_OF_A_FILE)
    with console.capture() as printed:  # a title of the table would be wrapped at its width
        console.print(plain(title), style="bold", soft_wrap=True)
        console.print(view)
    print("\n".join(line.rstrip() for line in printed.get().splitlines()), flush=True)


def facts(title: str, pairs: Mapping[str, str]) -> None:
    """Print names and values, without headings."""
    table(title, ("", ""), pairs.items(), style="dim")


def megabytes(size_bytes: float) -> str:
    """Return a size as text, such as ``135 MB``."""
    gigabytes = size_bytes / 1e9
    return f"{gigabytes:.1f} GB" if gigabytes >= 1 else f"{size_bytes / 1e6:.0f} MB"


def show_error(error: SlipwayError, *, json: bool) -> None:
    """Print what went wrong: one line to stderr, or a document to stdout."""
    if json:
        show({"error": type(error).__name__, "message": str(error), "exit_code": error.exit_code})
    else:
        say(f"slipway: {error}", error=True)


def translated(error: Exception) -> SlipwayError:
    """Return our error for one of a library: a refused sign-in, or else an internal error."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == HTTPStatus.UNAUTHORIZED or getattr(error, "error_code", "") == "UNAUTHENTICATED":
        fault = "SLIPWAY_AUTH: a server refuses it; set it to the value that the server was given"
        return CatalogueInvalid("the environment", (fault,))
    if getattr(error, "error_code", "") == "PERMISSION_DENIED":
        fault = "MLFLOW_TRACKING_USERNAME: MLflow denies this to the user; an administrator can "
        fault += "give another role with `slipway users role`"
        return CatalogueInvalid("the environment", (fault,))
    if isinstance(error, OSError):
        where = Path(error.filename or Settings().home)
        if failed := disk.failure(error, where):
            return failed
        if error.errno in _FORBIDDEN:
            return HomeUnusable(str(where), error.strerror or str(error))
    for each in (error, error.__cause__):
        refusal: object = getattr(each, "orig", each)  # SQLAlchemy and MLflow wrap it
        if isinstance(refusal, sqlite3.Error):
            return HomeUnusable(f"the database of {Settings().home}", str(refusal))
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return InternalError(reason, _written(traceback.format_exception(error)))


def _written(lines: Iterable[str]) -> str:
    """Write a traceback where it can be written, and return the path of the file."""
    name = f"defect-{time.strftime('%Y%m%d-%H%M%S')}.log"
    for folder in (Settings().home / "logs", Path(tempfile.gettempdir())):
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("".join(lines), encoding="utf-8")
            return str(folder / name)
    return "none, since no file can be written"


def prepare_prefect(settings: Settings, *, quiet: bool) -> None:
    """Set what Prefect reads when it is imported: where its state is, and the form of its log.

    The state is in the home, which must be writable.

    Args:
        settings: Names the folder of all state.
        quiet: Whether only errors are logged.
    """
    formats = "PREFECT_LOGGING_FORMATTERS_STANDARD"
    logging_ = {
        f"{formats}_FLOW_RUN_FMT": "%(asctime)s  %(flow_name)-13s  %(message)s",
        f"{formats}_TASK_RUN_FMT": "%(asctime)s  %(task_name)-13s  %(message)s",
        "PREFECT_LOGGING_LEVEL": "ERROR" if quiet else "INFO",
    }
    home.require_writable(settings)
    apply_environment(settings)
    for name, value in logging_.items():
        os.environ.setdefault(name, value)
