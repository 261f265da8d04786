"""What is measured of one request, for the metrics and for its trace."""

import time
from dataclasses import dataclass, field

from slipway.serving.responses import Usage, UsageCounter

#: The ``gen_ai.provider.name`` of this server.
PROVIDER = "slipway"

#: The ``gen_ai.operation.name`` of the routes that ask the model.
_OPERATIONS = {"/v1/chat/completions": "chat", "/v1/completions": "text_completion"}
_CLIENT_LEFT = 499
_ERRORS = 400  # and all above it
_NOTHING = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)


def response_model(model: str, version: int) -> str:
    """Return the ``gen_ai.response.model`` of a version."""
    return f"{model}:{version}"


@dataclass
class RequestRecord:
    """What is known of a request so far; the routes and the service fill it.

    Attributes:
        started: When its head was there, of ``time.monotonic``.
        route: Path of its route, ``other`` without one: nothing that a client chooses.
        status: HTTP status; 499 if the client left before there was one.
        counter: Of its answers; None before the model was asked.
        first_seconds: Time to the first token; None before it.
        seconds: Time to the end of the answer.
        complete: Whether the model completed the answers.
    """

    started: float = field(default_factory=time.monotonic)
    route: str = "other"
    status: int = _CLIENT_LEFT
    counter: UsageCounter | None = None
    first_seconds: float | None = None
    seconds: float = 0.0
    complete: bool = False

    def note_token(self) -> None:
        """Note the time of the first token."""
        if self.first_seconds is None:
            self.first_seconds = time.monotonic() - self.started

    def end(self, route: str) -> None:
        """Note the end of the answer, and which route gave it."""
        self.route, self.seconds = route, time.monotonic() - self.started

    @property
    def operation(self) -> str | None:
        """What was asked of the model; None if nothing was."""
        return _OPERATIONS.get(self.route)

    @property
    def usage(self) -> Usage:
        """The tokens."""
        return self.counter.usage if self.counter else _NOTHING

    @property
    def error_type(self) -> str:
        """The HTTP status of the error that ended the answer; empty if none did.

        Of a stream that began, that is the status of the error in its last event.
        """
        if self.complete:
            return ""
        if self.status >= _ERRORS:
            return str(self.status)
        return str((self.counter and self.counter.failed_status) or _CLIENT_LEFT)
