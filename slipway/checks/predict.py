"""Sends one prompt to a wrapper, in a child process."""

from pathlib import Path
from typing import Any

from slipway.checks.load import load
from slipway.errors import PromptRefused
from slipway.values import Contract, Value


class PredictRequest(Value):
    """Which wrapper to ask, and what.

    Attributes:
        version: Its name, for errors.
        folder: A verified copy of a version.
    """

    version: str
    folder: Path
    contract: Contract
    text: str


def predict(request: PredictRequest) -> dict[str, Any]:
    """Return the answer: a ``chat.completion``, or the field ``text``.

    Raises:
        PromptRefused: If the wrapper refuses the prompt, as one longer than its context.
    """
    model = load(request.folder)
    prompted = request.contract == "prompt"
    messages = [{"role": "user", "content": request.text}]
    try:
        answer = model.predict({"prompt": request.text} if prompted else {"messages": messages})[0]
    except ValueError as error:  # so the wrapper refuses what it is asked
        raise PromptRefused(request.version, str(error)) from error
    return {"text": answer} if prompted else answer
