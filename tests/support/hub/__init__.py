"""A Hugging Face Hub on this machine, for tests and for trying the line without a network.

The unmodified ``huggingface_hub`` client talks to it, given ``endpoint=``::

    hub = LocalHub(folder)
    commit = hub.push("acme/tiny", {"config.json": b"{}"})
    with hub.serve() as running:
        running.faults.add(cut(after_bytes=1), "*/config.json")
        snapshot_download("acme/tiny", local_dir=target, endpoint=running.endpoint)
        print(running.requests)

``store`` keeps ``repository`` values whose files are ``blobs``; ``routes`` answers a request from
them in the words of ``listings`` and ``card``; ``faults`` may spoil the answer; ``server`` sends
it. Only the standard library is used.
"""

from tests.support.hub.faults import (
    Fault,
    Faults,
    Order,
    connection_reset,
    cut,
    error_status,
    html_page,
    meanwhile,
    stall,
    wrong_bytes,
)
from tests.support.hub.local_hub import LocalHub, serve_folder
from tests.support.hub.repository import Security
from tests.support.hub.server import Asked, RunningHub
from tests.support.hub.webhook import Webhook

__all__ = [
    "Asked",
    "Fault",
    "Faults",
    "LocalHub",
    "Order",
    "RunningHub",
    "Security",
    "Webhook",
    "connection_reset",
    "cut",
    "error_status",
    "html_page",
    "meanwhile",
    "serve_folder",
    "stall",
    "wrong_bytes",
]
