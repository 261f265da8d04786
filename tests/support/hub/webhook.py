"""Webhooks: the Hub calls an address when a repository changes.

Source: https://huggingface.co/docs/hub/webhooks
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is called after every push.

    Attributes:
        url: The address, over plain HTTP.
        secret: Sent unchanged in ``X-Webhook-Secret``; None sends none.
    """

    url: str
    secret: str | None = None

    def send(self, repo_id: str, ref: str, before: str | None, after: str) -> None:
        """Report a push once, whether or not somebody listens.

        Args:
            repo_id: ``organisation/name``.
            ref: The branch, or a full name such as ``refs/pr/1``.
            before: Its commit before the push; None if the branch is new.
            after: Its commit after the push.
        """
        headers = {} if self.secret is None else {"X-Webhook-Secret": self.secret}
        body = payload(repo_id, ref, before, after)
        with suppress(httpx.HTTPError):
            httpx.post(
                self.url, json=body, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False
            )


def payload(repo_id: str, ref: str, before: str | None, after: str) -> dict[str, Any]:
    """Return what the Hub sends after a push."""
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
