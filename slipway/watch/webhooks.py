"""Webhooks of the Hugging Face Hub and of MLflow: who sent them, which models they concern. Pure.

A webhook only says "look again". Its content selects entries of the catalogue and nothing more: the
receiver of the event reads the actual state itself.

Sources: https://huggingface.co/docs/hub/webhooks ; ``mlflow/webhooks/delivery.py`` of MLflow 3.17;
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from slipway.errors import TextRefused
from slipway.validation.texts import require_text
from slipway.values import Entry, Value

#: Allowed difference between the sender's clock and ours.
TOLERANCE_SECONDS = 300
DEEPEST = 32

EventName = Literal["slipway.source.changed", "slipway.champion.moved"]
Text = Annotated[str, Field(max_length=500)]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class ChangeEvent(Value):
    """A reason to look at one model again: a Prefect event; ``model`` is also in its payload."""

    event: EventName
    model: str
    payload: dict[str, str | int | None]


class Received(BaseModel):
    """Base of what a sender sends; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class HubEvent(Received):
    """What happened: such as ``update`` in the scope ``repo.content``."""

    action: Text
    scope: Text


class HubRepository(Received):
    """The repository: ``model``, ``dataset`` or ``space``, and ``organisation/name``."""

    type: Text
    name: Text


class HubRef(Received):
    """A branch or tag that moved, such as ``refs/heads/main``; without a commit it was deleted."""

    ref: Text
    newSha: Commit | None = None  # noqa: N815 - the Hub's name


class HubPayload(Received):
    """The body of a webhook of the Hub, as far as it is used."""

    event: HubEvent
    repo: HubRepository
    updatedRefs: list[HubRef] | None = Field(default=None, max_length=1000)  # noqa: N815 - likewise


class AliasEvent(Received):
    """An alias that moved; without a version it was deleted."""

    name: Text
    alias: Text
    version: Annotated[str, Field(pattern=r"^[0-9]{1,9}$")] | None = None


class MlflowPayload(Received):
    """The body of a webhook of MLflow, as far as it is used; a moved alias is ``created``."""

    entity: Text
    action: Text
    data: dict[str, Any]


class Delivery(Received):
    """The headers of a webhook of MLflow.

    Attributes:
        id: A repeated attempt at the same delivery has the same one.
        timestamp: When it was made, in seconds since 1970.
    """

    id: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")]
    timestamp: Annotated[str, Field(pattern=r"^[0-9]{1,12}$")]
    signature: Annotated[str, Field(max_length=200)]


def same_secret(expected: str, received: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(expected.encode(), received.encode(errors="replace"))


def signature(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """Return the value of MLflow's header ``X-MLflow-Signature``."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    code = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(code).decode()}"


def is_recent(delivery: Delivery, now_seconds: float) -> bool:
    """Return whether a delivery was made just now; an older one may be a replay."""
    return abs(now_seconds - int(delivery.timestamp)) <= TOLERANCE_SECONDS


def is_signed(secret: str, delivery: Delivery, body: bytes) -> bool:
    """Return whether ``body`` was signed with the secret."""
    expected = signature(secret, delivery.id, delivery.timestamp, body)
    return same_secret(expected, delivery.signature)


def parse(body: bytes) -> Any:
    """Return ``body`` as JSON of moderate depth.

    Raises:
        ValueError: If it is anything else, or has NaN, infinity, a repeated name or half a
            character.
    """
    try:
        document = json.loads(
            body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_once
        )
        if _depth(document) > DEEPEST:
            raise ValueError("nested too deeply")
        require_text("body", document)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except TextRefused as error:
        raise ValueError(str(error)) from error
    return document


def source_changes(payload: HubPayload, entries: Iterable[Entry]) -> tuple[ChangeEvent, ...]:
    """Return an event for each entry whose source or published artifact may have changed."""
    if payload.repo.type != "model" or payload.event.scope.partition(".")[0] != "repo":
        return ()
    return tuple(
        _change("slipway.source.changed", entry.name, {"repo": repo, "commit": commit})
        for entry in entries
        for repo, commit in _moved(payload, entry)[:1]
    )


def champion_changes(payload: MlflowPayload, models: Iterable[str]) -> tuple[ChangeEvent, ...]:
    """Return an event if the alias ``champion`` of one of ``models`` moved or was deleted.

    Raises:
        ValueError: If the event of an alias has no alias or no model.
    """
    if payload.entity != "model_version_alias":
        return ()
    alias = AliasEvent.model_validate(payload.data)
    if alias.alias != "champion" or alias.name not in models:
        return ()
    version = int(alias.version) if alias.version else None
    return (_change("slipway.champion.moved", alias.name, {"version": version}),)


def _change(event: EventName, model: str, facts: Mapping[str, str | int | None]) -> ChangeEvent:
    return ChangeEvent(event=event, model=model, payload={"model": model, **facts})


def _moved(payload: HubPayload, entry: Entry) -> list[tuple[str, str | None]]:
    """Return name and new commit of each repository of ``entry`` that may have changed.

    A repository is compared without case, as the Hub does. The refs of a pull request are others
    than the followed one, so they are no change.
    """
    found = []
    for source in entry.repositories:
        names = {source.ref, f"refs/heads/{source.ref}", f"refs/tags/{source.ref}"}
        moved = [each for each in payload.updatedRefs or () if each.ref in names]
        is_same = source.repo.casefold() == payload.repo.name.casefold()
        if is_same and (moved or not payload.updatedRefs):
            found.append((source.repo, moved[0].newSha if moved else None))
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a name is repeated")
    return document


def _depth(document: Any) -> int:
    if isinstance(document, dict):
        document = list(document.values())
    return 1 + max(map(_depth, document), default=0) if isinstance(document, list) else 0
