"""Webhooks: the Hub tells an address of ours that a repository changed.

Source: https://huggingface.co/docs/hub/webhooks
"""

import http.client
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is told of every push.

    Attributes:
        url: Where, over plain HTTP.
        secret: Sent along as it is, in ``X-Webhook-Secret``; None sends none.
    """

    url: str
    secret: str | None = None

    def send(self, repo_id: str, ref: str, before: str | None, after: str) -> None:
        """Tell of a push; nobody learns of it if the other side does not listen.

        Args:
            repo_id: ``organisation/name``.
            ref: The branch, or a full name such as ``refs/pr/1``.
            before: Its commit before; None if it is new.
            after: Its commit since.
        """
        address = urlsplit(self.url)
        headers = {"Content-Type": "application/json"}
        if self.secret is not None:
            headers["X-Webhook-Secret"] = self.secret
        body = json.dumps(payload(repo_id, ref, before, after))
        connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=TIMEOUT_SECONDS
        )
        with suppress(OSError, http.client.HTTPException):
            connection.request("POST", address.path, body, headers)
            connection.getresponse().read()
        connection.close()


def payload(repo_id: str, ref: str, before: str | None, after: str) -> dict[str, Any]:
    """Return what the Hub says of a push."""
    full = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
    return {
        "event": {"action": "update", "scope": "repo.content"},
        "repo": {
            "type": "model",
            "name": repo_id,
            "id": repo_id,
            "private": False,
            "headSha": after,
            "tags": [],
            "owner": {"id": repo_id.partition("/")[0]},
        },
        "webhook": {"id": "local", "version": 3},
        "updatedRefs": [{"ref": full, "oldSha": before, "newSha": after}],
    }
