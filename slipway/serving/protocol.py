"""What the processes of a server exchange.

The supervisor and its workers share the pointer file, which names the version to serve. A worker
and its engine write each other one JSON value a line: orders go in, events come back.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from slipway.errors import SourceMissing
from slipway.system.store import flush
from slipway.tracking.location import MlflowLocation
from slipway.values import PromptMessage, Value


class Pointer(Value):
    """A version of a registered model."""

    model: str = Field(min_length=1)
    version: int = Field(gt=0)

    def __str__(self) -> str:
        return f"{self.model} v{self.version}"


def read_pointer(path: Path) -> Pointer:
    """Return the version that a pointer file names.

    Raises:
        SourceMissing: If the file does not exist or is not a pointer.
    """
    try:
        return Pointer.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        advice = 'write {"model": "NAME", "version": 3} into it, or run `slipway serve NAME`'
        raise SourceMissing(f"a version in {path}", advice) from error


def write_pointer(path: Path, pointer: Pointer) -> None:
    """Replace a pointer file atomically, so that a starting worker reads a whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(pointer.model_dump_json(), encoding="utf-8")
    flush(part)
    part.replace(path)
    flush(path.parent)


class Load(Value):
    """The worker's first line: the version to load.

    Attributes:
        location: The MLflow that has it.
        pointer: Model and version.
        copies: Folder for copies of files that an MLflow server stores.
    """

    location: MlflowLocation
    pointer: Pointer
    copies: Path


class Generate(Value):
    """One client's request.

    Attributes:
        request_id: Repeated in every event of its answer.
        prompts: Texts or conversations, each to be answered ``n`` times.
        n: Answers per prompt.
        max_tokens: Limit of new tokens of one answer.
        temperature: 0 takes the likeliest token; None leaves the model's default.
        top_p: Draws from the likeliest tokens that have this much probability together.
        seed: Of the first answer; each further answer adds one.
        stop: Texts that end an answer.
    """

    kind: Literal["generate"] = "generate"
    request_id: int
    prompts: tuple[str | tuple[PromptMessage, ...], ...]
    n: int = 1
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


class Cancel(Value):
    """The client of this request has left."""

    kind: Literal["cancel"] = "cancel"
    request_id: int


class Loaded(Value):
    """The engine's first line: its model is verified and loaded.

    Attributes:
        digest: Of the artifact's files, equal to the released digest.
        max_tokens: Limit of an answer where the request sets none.
    """

    kind: Literal["loaded"] = "loaded"
    digest: str
    max_tokens: int


class LoadFailed(Value):
    """The engine's first and last line: its model cannot be loaded, for this reason."""

    kind: Literal["load_failed"] = "load_failed"
    reason: str


class TextDelta(Value):
    """The next piece of an answer.

    Attributes:
        index: Of the answer; the ``n`` answers to the first prompt come first.
        text: To be appended to the answer.
        finish_reason: Set in the answer's last piece.
        prompt_tokens: Tokens of its prompt.
        completion_tokens: Tokens generated for this answer so far.
    """

    kind: Literal["delta"] = "delta"
    request_id: int
    index: int
    text: str
    finish_reason: Literal["stop", "length"] | None
    prompt_tokens: int
    completion_tokens: int


class End(Value):
    """The last event of a request.

    Attributes:
        outcome: ``refused`` is the client's fault, ``failed`` the server's.
        reason: Of these two.
    """

    kind: Literal["end"] = "end"
    request_id: int
    outcome: Literal["done", "cancelled", "refused", "failed"]
    reason: str = ""


Order = Generate | Cancel
Event = Loaded | LoadFailed | TextDelta | End

ORDER: TypeAdapter[Order] = TypeAdapter(Annotated[Order, Field(discriminator="kind")])
EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
