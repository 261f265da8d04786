"""The two routes: each verifies the sender before it parses the body, and responds at once."""

import hashlib
import logging
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from cachetools import TTLCache
from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from deployments.receiver import requests
from deployments.receiver.outbox import Outbox
from deployments.receiver.requests import Fault, RequestRejected
from slipway import catalogue
from slipway.errors import SlipwayError
from slipway.settings import Settings
from slipway.values import Entry
from slipway.watch import webhooks
from slipway.watch.webhooks import ChangeEvent, Delivery, HubPayload, MlflowPayload

#: Limit of remembered webhooks; the oldest is forgotten first.
REMEMBERED = 10_000

_REJECTIONS = {
    400: "The body is not JSON.",
    401: "The sender did not prove that it has the secret.",
    403: "No secret is configured for this sender.",
    408: "The body took too long.",
    413: "The body is too large.",
    415: "The body has another content type.",
    422: "The body is another document.",
    429: "Too many events wait to be sent.",
}

_logger = logging.getLogger(__name__)


class ReceiverSettings(Settings):
    """Settings, with the secrets of both senders; without its secret a sender is rejected."""

    hub_webhook_secret: SecretStr | None = Field(default=None, min_length=16)
    mlflow_webhook_secret: SecretStr | None = Field(default=None, min_length=16)


class HookResponse(BaseModel):
    """What becomes of a webhook.

    Attributes:
        status: ``accepted``: events are sent; ``ignored``: no model of the catalogue is concerned;
            ``duplicate``: the same body was received a moment ago.
    """

    model_config = ConfigDict(extra="forbid")

    status: Literal["accepted", "ignored", "duplicate"]
    models: tuple[str, ...] = ()


class Hooks:
    """Both routes, and the webhooks that they received a moment ago."""

    def __init__(self, settings: ReceiverSettings, outbox: Outbox) -> None:
        self._settings = settings
        self._outbox = outbox
        self._entries = catalogue.load(settings.catalogue)
        tolerance = webhooks.TOLERANCE_SECONDS
        self._deliveries: TTLCache[str, bool] = TTLCache(REMEMBERED, ttl=2 * tolerance)
        self._bodies: TTLCache[str, bool] = TTLCache(REMEMBERED, ttl=tolerance)
        self.router = APIRouter(prefix="/hooks")
        self._add("/hub", self.hub, HubPayload, _REJECTIONS)
        replayed = {409: "This delivery was received before."}
        self._add("/mlflow", self.mlflow, MlflowPayload, _REJECTIONS | replayed)

    async def hub(
        self, request: Request, x_webhook_secret: Annotated[str | None, Header()] = None
    ) -> HookResponse:
        """Receive a webhook of the Hugging Face Hub: a repository may have changed."""
        secret = _configured(self._settings.hub_webhook_secret, "SLIPWAY_HUB_WEBHOOK_SECRET")
        requests.require_json(request)
        if not webhooks.same_secret(secret, x_webhook_secret or ""):
            advice = "send the webhook's secret in X-Webhook-Secret"
            raise RequestRejected(401, "wrong secret", advice)
        body = await requests.read(request)
        payload = requests.parse(body, HubPayload)
        digest = hashlib.sha256(body).hexdigest()
        if digest in self._bodies:
            return HookResponse(status="duplicate")
        changes = webhooks.source_changes(payload, self._load_entries().values())
        return self._accept(changes, self._bodies, digest)

    async def mlflow(
        self,
        request: Request,
        x_mlflow_delivery_id: Annotated[str | None, Header()] = None,
        x_mlflow_timestamp: Annotated[str | None, Header()] = None,
        x_mlflow_signature: Annotated[str | None, Header()] = None,
    ) -> HookResponse:
        """Receive a webhook of MLflow: the champion may have changed."""
        secret = _configured(self._settings.mlflow_webhook_secret, "SLIPWAY_MLFLOW_WEBHOOK_SECRET")
        requests.require_json(request)
        delivery = _delivery(x_mlflow_delivery_id, x_mlflow_timestamp, x_mlflow_signature)
        body = await requests.read(request)
        if not webhooks.is_signed(secret, delivery, body):
            advice = "sign with the webhook's secret, as MLflow does"
            raise RequestRejected(401, "wrong signature", advice)
        if delivery.id in self._deliveries:
            raise RequestRejected(409, "received before", "send each delivery once")
        payload = requests.parse(body, MlflowPayload)
        try:
            changes = webhooks.champion_changes(payload, self._load_entries())
        except ValidationError as error:
            advice = "send name, alias and version in data"
            raise RequestRejected(422, "not an event of an alias", advice) from error
        return self._accept(changes, self._deliveries, delivery.id)

    def _load_entries(self) -> Mapping[str, Entry]:
        """Return the catalogue's entries; the earlier ones if it has faults now."""
        try:
            self._entries = catalogue.load(self._settings.catalogue)
        except (OSError, SlipwayError) as error:
            _logger.warning("the catalogue cannot be read, its earlier entries are used: %s", error)
        return self._entries

    def _add(
        self, path: str, handler: Any, payload: type[BaseModel], rejections: Mapping[int, str]
    ) -> None:
        schema = {"$ref": f"#/components/schemas/{payload.__name__}"}
        body = {"required": True, "content": {"application/json": {"schema": schema}}}
        self.router.add_api_route(
            path,
            handler,
            methods=["POST"],
            status_code=202,
            responses={s: {"model": Fault, "description": why} for s, why in rejections.items()},
            openapi_extra={"requestBody": body},
        )

    def _accept(
        self, changes: tuple[ChangeEvent, ...], received: TTLCache[str, bool], name: str
    ) -> HookResponse:
        if not self._outbox.has_room(len(changes)):
            raise RequestRejected(429, "too many events wait", "send it again in a minute")
        for change in changes:
            self._outbox.put(change)
        received[name] = True
        models = tuple(change.model for change in changes)
        return HookResponse(status="accepted" if changes else "ignored", models=models)


def _configured(secret: SecretStr | None, variable: str) -> str:
    if secret is None:
        advice = f"set {variable} where the receiver runs"
        raise RequestRejected(403, "no secret is configured", advice)
    return secret.get_secret_value()


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
