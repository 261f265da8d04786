"""How the command line speaks: tables for people, JSON for scripts, one line for an error."""

import json as json_library
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from slipway.errors import CatalogueInvalid, SlipwayError, StepCrashed
from slipway.settings import Settings, environment


def show(document: Any) -> None:
    """Print ``document`` as JSON."""
    print(json_library.dumps(document, indent=2, ensure_ascii=False, default=str))


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headings."""
    from rich.console import Console
    from rich.table import Table

    view = Table(title=title, title_justify="left", box=None, pad_edge=False, title_style="bold")
    for heading in headings:
        view.add_column(heading, overflow="fold")
    for row in rows:
        view.add_row(*row)
    Console(highlight=False).print(view)


def facts(title: str, pairs: Mapping[str, str]) -> None:
    """Print names and what they are."""
    from rich.console import Console
    from rich.table import Table

    view = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
    view.title_style = "bold"
    view.add_column(style="dim")
    view.add_column(overflow="fold")
    for name, value in pairs.items():
        view.add_row(name, value)
    Console(highlight=False).print(view)
    sys.stdout.flush()  # a server's address is wanted before the server ends


def megabytes(size_bytes: float) -> str:
    """Write a size for people."""
    gigabytes = size_bytes / 1e9
    return f"{gigabytes:.1f} GB" if gigabytes >= 1 else f"{size_bytes / 1e6:.0f} MB"


def error_line(error: SlipwayError, *, json: bool) -> None:
    """Print what went wrong: one line to stderr, or a document to stdout."""
    if json:
        show({"error": type(error).__name__, "message": str(error), "exit_code": error.exit_code})
    else:
        print(f"slipway: {error}", file=sys.stderr)


def explained(error: Exception) -> SlipwayError:
    """Return an error of ours for one of a library: a refused sign-in, or what nobody foresaw."""
    if re.search(r"\b401\b", str(error)) and "http" in str(error):
        advice = "SLIPWAY_AUTH: a server refuses it; set it to what the server was given"
        return CatalogueInvalid("the environment", (advice,))
    return _defect(error)


def _defect(error: Exception) -> SlipwayError:
    """Return an error of ours, with the traceback kept in a file."""
    logs = Settings().home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"defect-{time.strftime('%Y%m%d-%H%M%S')}.log"
    log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return StepCrashed("slipway", f"{type(error).__name__}: {error}"[:300], str(log))


def prepare_prefect(settings: Settings, *, quiet: bool) -> None:
    """Set what Prefect reads when it is imported: where its state lives, and how it speaks.

    Args:
        settings: Where our home is.
        quiet: Whether standard error belongs to somebody else's script.
    """
    formats = "PREFECT_LOGGING_FORMATTERS_STANDARD"
    speech = {
        f"{formats}_FLOW_RUN_FMT": "%(asctime)s  %(flow_name)-13s  %(message)s",
        f"{formats}_TASK_RUN_FMT": "%(asctime)s  %(task_name)-13s  %(message)s",
        "PREFECT_LOGGING_LEVEL": "ERROR" if quiet else "INFO",
    }
    (settings.home / "prefect").mkdir(parents=True, exist_ok=True)  # Prefect makes no parents
    for name, value in (environment(settings) | speech).items():
        os.environ.setdefault(name, value)


class OneLine(logging.Filter):
    """Drops the traceback of an error whose text already says what to do."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record; shorten it if it carries one of our errors."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, SlipwayError):
            record.exc_info, record.exc_text = None, None
            record.msg, record.args = str(error), ()
        return True


def shorten_errors() -> None:
    """Put ``OneLine`` on every handler that Prefect writes to the terminal with."""
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs", ""):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(OneLine())
