"""The two routes. Each knows who sends before it listens, and answers before it acts."""

import hashlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from deployments.receiver import requests
from deployments.receiver.deduplication import Deduplication
from deployments.receiver.outbox import Outbox
from deployments.receiver.requests import Fault, RequestRejected
from deployments.receiver.settings import ReceiverSettings
from slipway import catalogue
from slipway.errors import SlipwayError
from slipway.values import ChangeEvent, Entry
from slipway.watch import webhooks
from slipway.watch.webhooks import Delivery, HubPayload, MlflowPayload

_REFUSALS = {
    400: "The body is not JSON.",
    401: "The sender did not show that it knows the secret.",
    403: "No secret is configured for this sender.",
    408: "The body did not come soon enough.",
    413: "The body is too large.",
    415: "The body is of another type.",
    422: "The body is JSON of something else.",
    429: "Too many events wait to be sent.",
}

_logger = logging.getLogger(__name__)


class HookResponse(BaseModel):
    """What becomes of a webhook.

    Attributes:
        status: ``accepted``: an event is sent; ``ignored``: it concerns no model of ours;
            ``duplicate``: it was heard a moment ago.
        models: Entries of the catalogue that are looked at.
    """

    model_config = ConfigDict(extra="forbid")

    status: Literal["accepted", "ignored", "duplicate"]
    models: tuple[str, ...] = ()


class Catalogue:
    """The catalogue's entries, read again when the file changes; with faults in it, as before.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries = catalogue.load(path)
        self._read_at = path.stat().st_mtime_ns

    def entries(self) -> Mapping[str, Entry]:
        """Return the entries by name."""
        try:
            changed_at = self._path.stat().st_mtime_ns
            if changed_at != self._read_at:
                self._read_at = changed_at
                self._entries = catalogue.load(self._path)
        except (OSError, SlipwayError) as error:
            _logger.warning("the catalogue cannot be read, so its last good one is used: %s", error)
        return self._entries


class Hooks:
    """Both routes, and what they remember.

    Args:
        settings: Has the secrets.
        outbox: Takes the events.
    """

    def __init__(self, settings: ReceiverSettings, outbox: Outbox) -> None:
        self._settings = settings
        self._outbox = outbox
        self._catalogue = Catalogue(settings.catalogue)
        self._deliveries = Deduplication(2 * webhooks.TOLERANCE_SECONDS)
        self._bodies = Deduplication(webhooks.TOLERANCE_SECONDS)
        self.router = APIRouter(prefix="/hooks")
        self._add("/hub", self.hub, HubPayload, _REFUSALS)
        known = {409: "This delivery was heard before."}
        self._add("/mlflow", self.mlflow, MlflowPayload, _REFUSALS | known)

    async def hub(
        self, request: Request, x_webhook_secret: Annotated[str | None, Header()] = None
    ) -> HookResponse:
        """Hear a webhook of the Hugging Face Hub: a repository may have changed."""
        secret = self._settings.hub_webhook_secret
        if secret is None:
            raise _unconfigured("SLIPWAY_HUB_WEBHOOK_SECRET")
        requests.require_json(request)
        if not webhooks.same_secret(secret.get_secret_value(), x_webhook_secret or ""):
            raise RequestRejected(
                401, "wrong secret", "send the webhook's secret in X-Webhook-Secret"
            )
        body = await requests.read(request)
        payload = requests.parse(body, HubPayload)
        name = hashlib.sha256(body).hexdigest()
        if self._bodies.knows(name, time.monotonic()):
            return HookResponse(status="duplicate")
        notices = webhooks.source_changes(payload, self._catalogue.entries().values())
        return self._accept(notices, self._bodies, name)

    async def mlflow(
        self,
        request: Request,
        x_mlflow_delivery_id: Annotated[str | None, Header()] = None,
        x_mlflow_timestamp: Annotated[str | None, Header()] = None,
        x_mlflow_signature: Annotated[str | None, Header()] = None,
    ) -> HookResponse:
        """Hear a webhook of MLflow: the version that serves may be another."""
        secret = self._settings.mlflow_webhook_secret
        if secret is None:
            raise _unconfigured("SLIPWAY_MLFLOW_WEBHOOK_SECRET")
        requests.require_json(request)
        delivery = _delivery(x_mlflow_delivery_id, x_mlflow_timestamp, x_mlflow_signature)
        body = await requests.read(request)
        if not webhooks.is_signed(secret.get_secret_value(), delivery, body):
            raise RequestRejected(
                401, "wrong signature", "sign with the webhook's secret, as MLflow does"
            )
        if self._deliveries.knows(delivery.id, time.monotonic()):
            raise RequestRejected(409, "heard before", "send each delivery once")
        payload = requests.parse(body, MlflowPayload)
        try:
            notices = webhooks.champion_moves(payload, self._catalogue.entries())
        except ValidationError as error:
            raise RequestRejected(422, "not an event of an alias", "see AliasMove") from error
        return self._accept(notices, self._deliveries, delivery.id)

    def _add(
        self, path: str, handler: Any, payload: type[BaseModel], refusals: Mapping[int, str]
    ) -> None:
        schema = {"$ref": f"#/components/schemas/{payload.__name__}"}
        body = {"required": True, "content": {"application/json": {"schema": schema}}}
        self.router.add_api_route(
            path,
            handler,
            methods=["POST"],
            status_code=202,
            responses={s: {"model": Fault, "description": why} for s, why in refusals.items()},
            openapi_extra={"requestBody": body},
        )

    def _accept(
        self, notices: tuple[ChangeEvent, ...], memory: Deduplication, name: str
    ) -> HookResponse:
        if not self._outbox.has_room(len(notices)):
            raise RequestRejected(429, "too many events wait", "send it again in a minute")
        memory.hear(name, time.monotonic())
        for notice in notices:
            self._outbox.put(notice)
        models = tuple(notice.model for notice in notices)
        return HookResponse(status="accepted" if notices else "ignored", models=models)


def _delivery(delivery_id: str | None, timestamp: str | None, signature: str | None) -> Delivery:
    try:
        delivery = Delivery.model_validate(
            {"id": delivery_id, "timestamp": timestamp, "signature": signature}
        )
    except ValidationError as error:
        advice = "send X-MLflow-Delivery-Id, X-MLflow-Timestamp and X-MLflow-Signature"
        raise RequestRejected(401, "not signed", advice) from error
    if not webhooks.is_recent(delivery, time.time()):
        advice = f"correct the clocks; they may differ by {webhooks.TOLERANCE_SECONDS} s"
        raise RequestRejected(401, "not recent", advice)
    return delivery


def _unconfigured(variable: str) -> RequestRejected:
    return RequestRejected(
        403, "no secret is configured", f"set {variable} where the receiver runs"
    )
