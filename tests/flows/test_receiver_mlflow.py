"""The receiver accepts what MLflow's own code sends."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.receiver import MLFLOW_SECRET, Receiver, receive


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """Run a receiver."""
    with receive(tmp_path) as running:
        yield running


def send(receiver: Receiver, secret: str | None, data: dict[str, str]) -> Any:
    """Send an event of an alias with MLflow's code; return the response."""
    from mlflow.entities.webhook import Webhook, WebhookEvent
    from mlflow.webhooks import delivery

    event = WebhookEvent("model_version_alias", "created")
    webhook = Webhook("w-1", "to us", f"{receiver.url}/hooks/mlflow", [event], 0, 0, secret=secret)
    session = delivery._get_or_create_webhook_session()
    return delivery._send_webhook_request(webhook, data, event, session)


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow MLflow to send to this machine."""
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")


def test_what_mlflow_signs_is_accepted(receiver: Receiver, loopback: None) -> None:
    """Headers, signature and body are those of the installed MLflow."""
    answer = send(
        receiver, MLFLOW_SECRET, {"name": "tiny-1.5", "alias": "champion", "version": "7"}
    )

    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    assert [event.payload["version"] for event in receiver.take_events()] == [7]


@pytest.mark.parametrize("secret", [None, "another secret of somebody's"])
def test_what_mlflow_does_not_sign_with_our_secret_is_refused(
    receiver: Receiver, loopback: None, secret: str | None
) -> None:
    """With 401, which MLflow does not retry."""
    answer = send(receiver, secret, {"name": "tiny-1.5", "alias": "champion", "version": "7"})

    assert (answer.status_code, receiver.take_events()) == (401, [])


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        (("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "https"), "Invalid webhook URL scheme"),
        (("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "false"), "must not resolve to a non-public"),
    ],
)
def test_mlflow_sends_to_loopback_only_if_both_settings_allow_it(
    receiver: Receiver,
    loopback: None,
    monkeypatch: pytest.MonkeyPatch,
    setting: tuple[str, str],
    why: str,
) -> None:
    """As docs/webhooks.md says."""
    from mlflow.exceptions import MlflowException

    monkeypatch.setenv(*setting)

    with pytest.raises(MlflowException, match=why):
        send(receiver, MLFLOW_SECRET, {"name": "tiny-1.5", "alias": "champion", "version": "7"})
