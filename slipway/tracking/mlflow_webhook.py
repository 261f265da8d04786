"""MLflow's webhook: the registry notifies our receiver of changed aliases."""

from typing import Any

from slipway.tracking.location import require_listener

NAME = "slipway"
EVENTS = ("model_version_alias.created", "model_version_alias.deleted")


def ensure(uri: str, url: str, secret: str) -> str:
    """Create or update our webhook, remove doubles of it, and return its id.

    Its secret is set every time, since the server never shows it.

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
    fields: dict[str, Any] = {
        "url": url,
        "events": list(EVENTS),
        "secret": secret,
        "status": "ACTIVE",
    }
    if first is None:
        return str(client.create_webhook(NAME, **fields).webhook_id)
    return str(client.update_webhook(first.webhook_id, **fields).webhook_id)


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
