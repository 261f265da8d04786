"""Texts that a model reads: to compare a candidate with its source, or to calibrate one."""

import hashlib

from slipway.values.answers import PromptMessage
from slipway.values.base import Value


class Text(Value):
    """One text, or a conversation without its last answer.

    Attributes:
        group: Kind of the text, such as a language: its file's name without the suffix.
        content: The text; empty for a conversation.
        messages: The conversation, which ends with the user; empty for a text.
    """

    group: str
    content: str = ""
    messages: tuple[PromptMessage, ...] = ()


class Calibration(Value):
    """What the source reads while an artifact is quantized, never what both are compared on."""

    texts: tuple[Text, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the texts in their order, 64 hex digits: part of an artifact's key."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
