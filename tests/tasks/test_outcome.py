"""How a flow ended, as the final state of its run has it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from deployments import automations
from slipway.redeploy.values import DeployRejected, Unchanged
from slipway.values import (
    AliasChange,
    AuditInfo,
    Inconclusive,
    Promoted,
    Promotion,
    Rejected,
    Release,
)
from tasks import outcome
from tests.support import summaries

PASSED = Promoted(reasons=("all gates passed",))


def release(**fields: Any) -> Release:
    """Return a release of version 3."""
    promotion = Promotion(run_id="r", at=datetime.now(UTC), aliases=("champion",), previous=2)
    known: dict[str, Any] = {
        "versions": summaries.candidate(),
        "repo": "acme/tiny",
        "commit": "ab" * 20,
        "variant": "int8",
        "verdict": PASSED,
        "promotion": promotion,
    }
    return Release(**(known | fields))


@pytest.mark.parametrize(
    ("ended", "name", "text"),
    [
        (release(), None, "is champion: all gates passed"),
        (release(verdict=Rejected(reasons=("too slow", "too large"))), "Rejected", "too slow; too"),
        (release(verdict=Inconclusive(reasons=("no answers",))), "Inconclusive", "no answers"),
        (release(waiting=True), "Waiting for approval", "slipway approve"),
        (release(existed=True), "Already released", "is this release"),
        (release(existed=True, waiting=True), "Waiting for approval", "waits for approval"),
        (Unchanged(model="tiny", reason="version 1 is serving"), None, "version 1 is serving"),
        (
            DeployRejected(model="tiny", version=2, serving=1, reason="it is rude"),
            "Rejected",
            "version 2 is quarantined: it is rude; version 1 is still serving",
        ),
        (
            AliasChange(
                run_id="r",
                kind="rollback",
                at=datetime.now(UTC),
                audit=AuditInfo(actor="bob", reason="it is rude"),
                before=2,
                after=1,
                version=1,
            ),
            None,
            "version 1 is champion, after version 2: it is rude",
        ),
    ],
)
def test_the_name_says_how_it_ended_and_the_message_why(
    ended: Any, name: str | None, text: str
) -> None:
    """Prefect's own name is left to what was carried out."""
    found, message = outcome._state(ended)

    assert found == name
    assert text in message


def test_a_run_that_ended_under_such_a_name_is_not_taken_for_lost() -> None:
    """The automation that crashes silent runs waits for an event of one of these names."""
    assert set(outcome.NAMES) <= set(automations._ENDS)
