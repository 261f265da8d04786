"""Output of the command line: tables for people, JSON for scripts, one line for an error."""

import json as json_library
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from slipway.errors import CatalogueInvalid, InternalError, SlipwayError
from slipway.settings import Settings, environment


def show(document: Any) -> None:
    """Print ``document`` as JSON."""
    print(json_library.dumps(document, indent=2, ensure_ascii=False, default=str))


def table(
    title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], *, style: str = ""
) -> None:
    """Print rows under headings; without a heading that has text, the heading's line is left out.

    Args:
        title: Printed above.
        headings: One a column.
        rows: One text a column.
        style: Of the first column, as rich names it.
    """
    from rich.console import Console
    from rich.table import Table

    view = Table(title=title, title_justify="left", box=None, pad_edge=False, title_style="bold")
    view.show_header = any(headings)
    for number, heading in enumerate(headings):
        view.add_column(heading, overflow="fold", style=style if number == 0 else "")
    for row in rows:
        view.add_row(*row)
    Console(highlight=False).print(view)


def facts(title: str, pairs: Mapping[str, str]) -> None:
    """Print names and values, without headings."""
    table(title, ("", ""), pairs.items(), style="dim")
    sys.stdout.flush()  # a server's address is needed before the server ends


def megabytes(size_bytes: float) -> str:
    """Return a size as text, such as ``135 MB``."""
    gigabytes = size_bytes / 1e9
    return f"{gigabytes:.1f} GB" if gigabytes >= 1 else f"{size_bytes / 1e6:.0f} MB"


def show_error(error: SlipwayError, *, json: bool) -> None:
    """Print what went wrong: one line to stderr, or a document to stdout."""
    if json:
        show({"error": type(error).__name__, "message": str(error), "exit_code": error.exit_code})
    else:
        print(f"slipway: {error}", file=sys.stderr)


def translated(error: Exception) -> SlipwayError:
    """Return our error for one of a library: a refused sign-in, or else an internal error."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == HTTPStatus.UNAUTHORIZED or getattr(error, "error_code", "") == "UNAUTHENTICATED":
        fault = "SLIPWAY_AUTH: a server refuses it; set it to the value that the server was given"
        return CatalogueInvalid("the environment", (fault,))
    logs = Settings().home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"defect-{time.strftime('%Y%m%d-%H%M%S')}.log"
    log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return InternalError(f"{type(error).__name__}: {error}"[:300], str(log))


def prepare_prefect(settings: Settings, *, quiet: bool) -> None:
    """Set what Prefect reads when it is imported: where its state is, and the form of its log.

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
    (settings.home / "prefect").mkdir(parents=True, exist_ok=True)  # Prefect makes no parents
    for name, value in (environment(settings) | logging_).items():
        os.environ.setdefault(name, value)


class OneLine(logging.Filter):
    """Drops the traceback of our own errors: their text says what to do."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record; replace one that carries an error of ours by the error's text."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, SlipwayError):
            record.exc_info, record.exc_text = None, None
            record.msg, record.args = str(error), ()
        return True


def shorten_errors() -> None:
    """Add ``OneLine`` to every handler with which Prefect writes to the terminal."""
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs", ""):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(OneLine())
