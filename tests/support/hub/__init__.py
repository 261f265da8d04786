"""A Hugging Face Hub on this machine, for tests that need no network and for tests of faults.

The unmodified ``huggingface_hub`` client talks to it, given ``endpoint=``::

    hub = LocalHub(folder)
    commit = hub.push("acme/tiny", {"config.json": b"{}"})
    with hub.serve() as running:
        running.faults.add(cut(after_bytes=1), "*/config.json")
        snapshot_download("acme/tiny", local_dir=target, endpoint=running.endpoint)
        print(running.requests)

``local_hub`` holds the repositories, ``repositories`` says what they consist of, ``api`` answers
requests about them, and ``server`` sends each answer, or what one of the ``faults`` makes of it.
"""

from tests.support.hub.faults import (
    Answer,
    Fault,
    Faults,
    connection_reset,
    cut,
    error_status,
    html_page,
    meanwhile,
    stall,
    wrong_bytes,
)
from tests.support.hub.local_hub import LocalHub
from tests.support.hub.repositories import Security
from tests.support.hub.server import RunningHub
from tests.support.hub.webhook import Webhook

__all__ = [
    "Answer",
    "Fault",
    "Faults",
    "LocalHub",
    "RunningHub",
    "Security",
    "Webhook",
    "connection_reset",
    "cut",
    "error_status",
    "html_page",
    "meanwhile",
    "stall",
    "wrong_bytes",
]
