"""The description of a version or a run says which state the version is in. Pure.

A description is written when the release ends. What is decided later stands above it, and goes when
it no longer holds.
"""

from slipway.tracking.tag_values import VersionTags
from slipway.validation.texts import UNSEEN
from slipway.values import VersionState

#: Between the state and what the release wrote.
_AT_ITS_RELEASE = "At its release: "
_LONGEST, _LONGEST_REASON = 5_000, 500  # characters

_HEADLINES: dict[VersionState, str] = {
    "approved": "✅ Approved",
    "rejected": "⛔ Rejected",
    "superseded": "⚪ Not approved",
    "quarantined": "⛔ Quarantined",
}


def with_state(description: str, found: VersionTags) -> str:
    """Return a description for a version in the state that ``found`` describes."""
    head, separator, rest = description.partition(_AT_ITS_RELEASE)
    written = rest if separator and head.startswith("**") and head.endswith("\n\n") else description
    headline = _HEADLINES.get(found.state)
    if headline is None:
        return written
    why = found.quarantined if found.state == "quarantined" else found.decided
    return f"**{headline}.** {_code(why or '')}\n\n{_AT_ITS_RELEASE}{written}"[:_LONGEST]


def _code(text: str) -> str:
    """Return a text as a code span, in which no markup of a foreign text counts."""
    line = " ".join(UNSEEN.sub(" ", text).replace("`", "'").split())
    return f"`{line[:_LONGEST_REASON]}`"
