"""What only tells people: progress, reports, names. It never fails a step, nor holds it up."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)

from slipway.report.markdown import escape

_UPDATE_SECONDS, _AGAIN_SECONDS = 2.0, 30.0

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


@contextmanager
def informing(
    what: str, logger: Logger | None = None, retries: int = 2, *, server: str = "Prefect"
) -> Iterator[None]:
    """Run requests to a server that only tell people something; a failure is a line in the log.

    A request to Prefect waits for ten seconds, and is repeated after two and after four more: with
    the retries that its client makes by default, it would hold a step up for minutes.
    """
    bounds = {PREFECT_CLIENT_MAX_RETRIES: retries, PREFECT_API_REQUEST_TIMEOUT: 10.0}
    try:
        with temporary_settings(bounds):
            yield
    except Exception as error:  # noqa: BLE001 - whatever it is, the step goes on
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        (logger or get_run_logger()).warning("%s does not show %s: %s", server, what, reason)


def rename_run(name: str) -> None:
    """Rename the current flow run, for people who look for it in the UI."""
    with (
        informing(f"the run's name {name}"),
        get_client(sync_client=True) as client,
    ):
        client.update_flow_run(flow_run.id, name=name)


class Reporter:
    """Shows a step's progress in the terminal and in the Prefect UI.

    Args:
        step: Name of the step; with ``about`` it names the artifact.
        about: The model or repository that it works on.
    """

    def __init__(self, step: str, about: str) -> None:
        self._logger = get_run_logger()
        self._title = f"{step} {about}"
        self._reported: tuple[str, int] | None = None
        self._artifact: UUID | None = None
        self._due_at = 0.0
        self._show(0)

    def __call__(self, share: float | None, text: str) -> None:
        """Log what is new: another kind of work, or the next tenth of it."""
        news = (text.split(maxsplit=1)[0], -1 if share is None else int(share * 10))
        if news != self._reported:
            self._logger.info(text if share is None else f"{share:4.0%}  {text}")
            self._reported = news
        if share is not None and (share == 1 or time.monotonic() > self._due_at):
            self._show(share * 100)

    def _show(self, percent: float) -> None:
        """Create or update the artifact; each time is a request, so there are not many."""
        self._due_at = time.monotonic() + _AGAIN_SECONDS
        with informing(f"the progress of {self._title}", self._logger, retries=0):
            if self._artifact:
                update_progress_artifact(self._artifact, progress=percent)
            else:
                key = re.sub(r"[^a-z0-9]+", "-", self._title.lower())
                made = create_progress_artifact(percent, key=key, description=escape(self._title))
                self._artifact = cast("UUID", made)
            self._due_at = time.monotonic() + _UPDATE_SECONDS
