"""The log of a flow run: each line names its task; an error that explains itself is one line."""

import logging

from slipway.errors import SlipwayError
from slipway.validation.texts import printable


class PlainLines(logging.Filter):
    """Drops the traceback of our own errors, and what a terminal would obey in foreign texts."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record; its text becomes the error's own, or is cleaned."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, SlipwayError):
            record.exc_info, record.exc_text = None, None
            record.msg, record.args = str(error), ()
        text = record.getMessage()
        if text != printable(text):
            record.msg, record.args = printable(text), ()
        return True


class TaskLines(logging.Formatter):
    """Writes the name of the task before its lines: the default pages of Prefect show none."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line as Prefect's pages show it."""
        line = super().format(record)
        name = getattr(record, "task_run_name", None)
        return f"{printable(name)}: {line}" if name else line


def keep_lines_plain() -> None:
    """Add ``PlainLines`` to every handler with which Prefect writes, and ``TaskLines`` to pages."""
    import prefect.main  # noqa: F401 - makes the handlers, when it is imported first
    from prefect.logging.handlers import APILogHandler

    lines = PlainLines()
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs", ""):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(lines)
            if isinstance(handler, APILogHandler):
                handler.setFormatter(TaskLines())
