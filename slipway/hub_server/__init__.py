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

from slipway.hub_server.faults import (
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
from slipway.hub_server.local_hub import LocalHub, serve_folder
from slipway.hub_server.repository import Security
from slipway.hub_server.server import Asked, RunningHub
from slipway.hub_server.webhook import Webhook

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
