"""The adapter of MLflow's webhooks: the registry tells our receiver that an alias has moved."""

from typing import Any

from slipway.tracking.location import require_listener

NAME = "slipway"
EVENTS = ("model_version_alias.created", "model_version_alias.deleted")


def ensure(uri: str, url: str, secret: str) -> str:
    """Have exactly one webhook of ours, and return its id.

    Its secret is set every time, since the server never shows the one that it has.

    Args:
        uri: Address of the MLflow server.
        url: Where it sends to.
        secret: Signs what it sends.

    Raises:
        Unreachable: If no server listens at ``uri``.
    """
    client = _client(uri)
    first, *others = ours(uri) or [None]
    for double in others:
        client.delete_webhook(double.webhook_id)
    asked: dict[str, Any] = {
        "url": url,
        "events": list(EVENTS),
        "secret": secret,
        "status": "ACTIVE",
    }
    if first is None:
        return str(client.create_webhook(NAME, **asked).webhook_id)
    return str(client.update_webhook(first.webhook_id, **asked).webhook_id)


def ours(uri: str) -> list[Any]:
    """Return the webhooks of our name."""
    found: list[Any] = []
    token: str | None = None
    while page := _client(uri).list_webhooks(page_token=token):
        found += [webhook for webhook in page if webhook.name == NAME]
        token = page.token
        if not token:
            break
    return found


def _client(uri: str) -> Any:
    require_listener(uri)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)
