"""The webhook receiver as a real server in a thread of the test, and requests to it."""

import asyncio
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from deployments.receiver.app import create_app
from deployments.receiver.hooks import ReceiverSettings
from slipway.system.connections import SERVER_LIMITS
from slipway.watch import webhooks
from slipway.watch.webhooks import ChangeEvent
from tests.support.hub import webhook
from tests.support.network import PromptServer

HUB_SECRET, MLFLOW_SECRET = "a secret of the Hub's", "a secret of MLflow's"
CATALOGUE = """\
[models."tiny-1.5"]
title = "Tiny"
source = { kind = "hub", repo = "acme/tiny" }
recipe = { kind = "select", repo = "acme/tiny-onnx", precision = "int4" }
licenses = ["mit"]

[models.other]
title = "Other"
source = { kind = "hub", repo = "acme/other", ref = "v2" }
recipe = { kind = "quantize", candidates = [{ precision = "int8" }] }
licenses = ["mit"]
"""
BEFORE, AFTER = "a" * 40, "b" * 40


@dataclass
class Receiver:
    """A running receiver.

    Attributes:
        url: Its address.
        client: Sends requests to it.
        events: The events that it sent, in order.
        prefect_is_down: Whether events cannot be sent.
    """

    url: str
    client: httpx.Client
    events: list[ChangeEvent] = field(default_factory=list)
    prefect_is_down: bool = False

    async def send(self, event: ChangeEvent) -> None:
        """Take an event, as Prefect would."""
        if self.prefect_is_down:
            raise httpx.ConnectError("connection refused")
        self.events.append(event)

    def hub(self, body: Any = None, **headers: str) -> httpx.Response:
        """Send a webhook as the Hub does."""
        content = body if isinstance(body, bytes) else json.dumps(body or pushed()).encode()
        return self.client.post("/hooks/hub", content=content, headers=hub_headers() | headers)

    def mlflow(self, body: Any = None, **headers: str) -> httpx.Response:
        """Send a webhook as MLflow does."""
        content = body if isinstance(body, bytes) else json.dumps(body or moved()).encode()
        signed = mlflow_headers(content) | headers
        return self.client.post("/hooks/mlflow", content=content, headers=signed)

    def take_events(self) -> list[ChangeEvent]:
        """Return the events so far and forget them; a push of our own marks their end."""
        commit = uuid.uuid4().hex + "0" * 8
        self.hub(pushed("acme/other", "v2", commit)).raise_for_status()
        until = time.monotonic() + 60
        while not self.events or self.events[-1].payload.get("commit") != commit:
            assert time.monotonic() < until, self.events
            time.sleep(0.001)
        before, self.events = self.events[:-1], []
        return before


def pushed(repo: str = "acme/tiny", ref: str = "main", after: str | None = None) -> dict[str, Any]:
    """Return the Hub's payload of a push; its commit is new unless one is named."""
    return webhook.payload(repo, ref, BEFORE, after or uuid.uuid4().hex + "0" * 8)


def moved(name: str = "tiny-1.5", alias: str = "champion", version: str = "3") -> dict[str, Any]:
    """Return MLflow's payload of an alias that moved."""
    return {
        "entity": "model_version_alias",
        "action": "created",
        "timestamp": "2026-11-22T21:00:00+00:00",
        "data": {"name": name, "alias": alias, "version": version},
    }


def hub_headers(secret: str = HUB_SECRET) -> dict[str, str]:
    """Return the headers of a webhook of the Hub."""
    return {"Content-Type": "application/json", "X-Webhook-Secret": secret}


def mlflow_headers(
    body: bytes, *, secret: str = MLFLOW_SECRET, age_seconds: int = 0, delivery: str = ""
) -> dict[str, str]:
    """Return the headers of a webhook of MLflow."""
    timestamp, delivery = str(int(time.time()) - age_seconds), delivery or str(uuid.uuid4())
    return {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": timestamp,
        "X-MLflow-Signature": webhooks.signature(secret, delivery, timestamp, body),
    }


@contextmanager
def receive(folder: Path, **secrets: str | None) -> Iterator[Receiver]:
    """Run a receiver on a free port while the body runs."""
    catalogue = folder / "catalogue.toml"
    catalogue.write_text(CATALOGUE, encoding="utf-8")
    known = {"hub_webhook_secret": HUB_SECRET, "mlflow_webhook_secret": MLFLOW_SECRET} | secrets
    # Named as TCP, since asyncio sends small answers at once on such a socket only.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=url, timeout=30) as client:
            receiver = Receiver(url, client)
            app = create_app(ReceiverSettings(catalogue=catalogue, **known), receiver.send)
            server = PromptServer(
                uvicorn.Config(app, log_config=None, access_log=False, **SERVER_LIMITS)
            )
            thread = threading.Thread(
                target=asyncio.run, args=(server.serve(sockets=[listener]),), daemon=True
            )
            thread.start()
            try:
                yield receiver
            finally:
                server.should_exit = True
                thread.join()
