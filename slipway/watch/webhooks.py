"""Webhooks of the Hugging Face Hub and of MLflow: who sent it, and what it is about. Pure.

A webhook only says "look again". So what it claims is never acted on: it names entries of the
catalogue, and whoever is told looks for himself.

Sources: https://huggingface.co/docs/hub/webhooks ; ``mlflow/webhooks/delivery.py`` of MLflow 3.17;
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from slipway.values import ChangeEvent, Entry, HubSource, SelectRecipe
from slipway.values.events import Event

#: How far the clock of the sender may be from ours.
TOLERANCE_SECONDS = 300
DEEPEST = 32

Text = Annotated[str, Field(max_length=500)]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Said(BaseModel):
    """Base of what a sender says: fields that we do not know are not our concern."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class HubEvent(Said):
    """What happened.

    Attributes:
        action: ``create``, ``update``, ``delete`` or ``move``.
        scope: ``repo``, ``repo.content``, ``discussion`` and narrower ones.
    """

    action: Text
    scope: Text


class HubRepository(Said):
    """To which repository.

    Attributes:
        type: ``model``, ``dataset`` or ``space``.
        name: ``organisation/name``.
    """

    type: Text
    name: Text


class HubRef(Said):
    """A branch or tag that moved.

    Attributes:
        ref: Its full name, such as ``refs/heads/main``.
        newSha: Its commit since; None if it was deleted.
    """

    ref: Text
    newSha: Commit | None = None  # noqa: N815 - the Hub's name


class HubPayload(Said):
    """The body of a webhook of the Hub, as far as it matters here.

    Attributes:
        event: What happened.
        repo: To which repository.
        updatedRefs: The refs that moved; None where the Hub does not say.
    """

    event: HubEvent
    repo: HubRepository
    updatedRefs: list[HubRef] | None = Field(default=None, max_length=1000)  # noqa: N815 - likewise


class AliasMove(Said):
    """Which alias points where.

    Attributes:
        name: The registered model.
        alias: The alias.
        version: Where it points since; None if it was deleted.
    """

    name: Text
    alias: Text
    version: Annotated[str, Field(pattern=r"^[0-9]{1,9}$")] | None = None


class MlflowPayload(Said):
    """The body of a webhook of MLflow, as far as it matters here.

    Attributes:
        entity: Such as ``model_version_alias``.
        action: Such as ``created``, which it is also when an alias moves.
        data: What it is about.
    """

    entity: Text
    action: Text
    data: dict[str, Any]


class Delivery(Said):
    """What MLflow writes over a webhook.

    Attributes:
        id: Unique; a repeated attempt at the same delivery has the same.
        timestamp: When it was made, in seconds since 1970.
        signature: ``v1,`` and the signature in base64.
    """

    id: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")]
    timestamp: Annotated[str, Field(pattern=r"^[0-9]{1,12}$")]
    signature: Annotated[str, Field(max_length=200)]


def same_secret(expected: str, given: str) -> bool:
    """Compare two secrets in a time that does not tell where they differ."""
    return hmac.compare_digest(expected.encode(), given.encode(errors="replace"))


def signature(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """Return what MLflow writes into ``X-MLflow-Signature``."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    code = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(code).decode()}"


def is_recent(delivery: Delivery, now_seconds: float) -> bool:
    """Tell whether a delivery was made just now; an older one may be somebody's recording."""
    return abs(now_seconds - int(delivery.timestamp)) <= TOLERANCE_SECONDS


def is_signed(secret: str, delivery: Delivery, body: bytes) -> bool:
    """Tell whether whoever wrote ``body`` knows the secret."""
    right = signature(secret, delivery.id, delivery.timestamp, body)
    return same_secret(right, delivery.signature)


def parse(body: bytes) -> Any:
    """Return ``body`` as JSON of moderate depth.

    Raises:
        ValueError: If it is anything else, NaN and doubled names included.
    """
    try:
        document = json.loads(
            body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_once
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    _require_shallow(document)
    return document


def source_changes(payload: HubPayload, entries: Iterable[Entry]) -> tuple[ChangeEvent, ...]:
    """Return a notice for each entry whose source, or whose recipe's repository, may have changed.

    Args:
        payload: What the Hub says.
        entries: The catalogue's.
    """
    if payload.repo.type != "model" or payload.event.scope.partition(".")[0] != "repo":
        return ()
    notices = []
    for entry in entries:
        follows = [each for each in _followed(entry) if _same_repo(each.repo, payload.repo.name)]
        if any(_concerns(payload, each.ref) for each in follows):
            facts = {"repo": follows[0].repo, "commit": _commit(payload, follows[0].ref)}
            notices.append(_notice("slipway.source.changed", entry.name, facts))
    return tuple(notices)


def champion_moves(payload: MlflowPayload, models: Iterable[str]) -> tuple[ChangeEvent, ...]:
    """Return a notice if the alias ``champion`` of one of ``models`` moved, or went away.

    Args:
        payload: What MLflow says.
        models: Registered models that serve: those of the catalogue's entries.

    Raises:
        ValueError: If an alias's event does not say which alias of which model.
    """
    if payload.entity != "model_version_alias":
        return ()
    move = AliasMove.model_validate(payload.data)
    if move.alias != "champion" or move.name not in models:
        return ()
    version = int(move.version) if move.version else None
    return (_notice("slipway.champion.moved", move.name, {"version": version}),)


def _notice(event: Event, model: str, facts: Mapping[str, str | int | None]) -> ChangeEvent:
    return ChangeEvent(event=event, model=model, payload={"model": model, **facts})


def _followed(entry: Entry) -> list[HubSource | SelectRecipe]:
    known = (entry.source, entry.recipe)
    return [each for each in known if isinstance(each, HubSource | SelectRecipe)]


def _same_repo(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()  # the Hub does not tell such names apart either


def _concerns(payload: HubPayload, ref: str) -> bool:
    """Tell whether ``ref`` may have moved; a pull request of somebody's moves another."""
    moved = payload.updatedRefs
    return not moved or any(each.ref in _names(ref) for each in moved)


def _commit(payload: HubPayload, ref: str) -> str | None:
    moved = payload.updatedRefs or ()
    return next((each.newSha for each in moved if each.ref in _names(ref)), None)


def _names(ref: str) -> set[str]:
    return {ref, f"refs/heads/{ref}", f"refs/tags/{ref}"}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a name is there twice")
    return document


def _require_shallow(document: Any) -> None:
    level = [document]
    for _ in range(DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    if level:
        raise ValueError("nested too deeply")
