"""The states of a version, and what may lead from one to another. Pure.

Every change of a version's state is a command of ``TRANSITIONS``. It is checked against the state
that is there while its writer holds the lock and its record is open, never against one that was
read before. What the table does not list is refused, and nothing is changed.

The state of a version is that of the wrapper that serves; its reference has the same quarantine.
"""

from collections.abc import Mapping
from typing import Literal

from slipway.errors import MoveRefused
from slipway.tracking.tag_values import VersionTags
from slipway.tracking.tags import APPROVAL, DECIDED, QUARANTINED, STATUS
from slipway.values import VersionState

Command = Literal[
    "release",
    "ask",
    "approve",
    "reject",
    "supersede",
    "serve",
    "quarantine",
    "lift",
    "withdraw",
    "remove",
    "discard",
]

#: By command, the states that it starts from and what each becomes.
TRANSITIONS: Mapping[Command, Mapping[VersionState, VersionState]] = {
    "release": {"registered": "released"},
    "ask": {"registered": "pending"},
    "approve": {"pending": "approved"},
    "reject": {"pending": "rejected"},
    "supersede": {"pending": "superseded"},
    "serve": {"released": "released", "approved": "approved"},
    "quarantine": {
        "registered": "quarantined",
        "pending": "quarantined",
        "approved": "quarantined",
        "superseded": "quarantined",
        "released": "quarantined",
        "quarantined": "quarantined",
        "rejected": "rejected",
    },
    "lift": {"quarantined": "approved", "rejected": "approved"},
    "withdraw": {"registered": "absent", "absent": "absent"},
    "remove": {
        "registered": "absent",
        "released": "absent",
        "approved": "absent",
        "superseded": "absent",
    },
    "discard": {"quarantined": "quarantined", "rejected": "rejected"},
}

_PASSIVE: Mapping[Command, str] = {
    "release": "released",
    "ask": "offered for approval",
    "approve": "approved",
    "reject": "rejected",
    "supersede": "superseded",
    "serve": "made champion",
    "quarantine": "quarantined",
    "lift": "freed from a quarantine",
    "withdraw": "removed",
    "remove": "removed",
    "discard": "left without its files",
}
_WORDS: Mapping[VersionState, str] = {
    "absent": "is not in the registry",
    "registered": "is not released",
    "pending": "waits for approval",
    "approved": "is approved ({decided})",
    "rejected": "is rejected ({decided})",
    "superseded": "was not approved in time ({decided})",
    "released": "is released without an approval",
    "quarantined": "is quarantined ({quarantined})",
}


def how_to_lift(model: str) -> str:
    """Return how a person lifts a quarantine."""
    return f"lift it with slipway release {model} --lift-quarantine --reason TEXT"


def state_in(found: VersionTags | None) -> VersionState:
    """Return the state of a version; None stands for one that does not exist."""
    return "absent" if found is None else found.state


def after(command: Command, state: VersionState) -> VersionState | None:
    """Return what ``command`` makes of a version in this state; None if it is not allowed."""
    return TRANSITIONS[command].get(state)


def require(command: Command, model: str, version: int, found: VersionTags | None) -> None:
    """Refuse a command that the state of a version does not allow.

    Raises:
        MoveRefused: With the state, and what a person can do.
    """
    state = state_in(found)
    if after(command, state) is not None:
        return
    fields = {"decided": found.decided, "quarantined": found.quarantined} if found else {}
    words = _WORDS[state].format(**fields)
    reason = f"version {version} {words}, so it cannot be {_PASSIVE[command]}"
    is_out = state in TRANSITIONS["lift"]
    remedy = how_to_lift(model) if is_out else f"slipway status {model} shows what is there"
    raise MoveRefused(model, reason, remedy)


def tags_of(command: Command, by: str, quarantined: str | None = None) -> dict[str, str | None]:
    """Return the tags of the serving version that a command sets; None removes one.

    Args:
        command: What is done.
        by: By whom or what, and why.
        quarantined: Why the version is quarantined already; the first reason stays.
    """
    changes: Mapping[Command, dict[str, str | None]] = {
        "release": {STATUS: "released"},
        "ask": {STATUS: "released", APPROVAL: "pending", DECIDED: None},
        "approve": {APPROVAL: "approved", DECIDED: by},
        "reject": {APPROVAL: "rejected", DECIDED: by, QUARANTINED: f"rejected by {by}"},
        "supersede": {APPROVAL: "superseded", DECIDED: by},
        "quarantine": {QUARANTINED: quarantined or by},
        "lift": {STATUS: "released", APPROVAL: "approved", DECIDED: by, QUARANTINED: None},
    }
    return dict(changes.get(command, {}))


def reference_tags(changes: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return what of ``changes`` the reference's version gets as well."""
    return {tag: value for tag, value in changes.items() if tag in {STATUS, QUARANTINED}}
