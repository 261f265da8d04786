"""What the processes of a server exchange.

The supervisor and its workers share the pointer file, which names the version to serve. A worker
and its engine write each other one JSON value a line: orders go in, events come back.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import psutil
from pydantic import Field, TypeAdapter, ValidationError

from slipway.errors import SourceMissing
from slipway.system.failpoints import failpoint
from slipway.system.store import flush
from slipway.tracking.verified_copy import VerifiedCopy
from slipway.values import Record, Value

#: How a family of models writes calls of tools; ``json`` is any other whose template knows tools.
ToolFormat = Literal["hermes", "llama", "phi4", "mistral", "json"]


class Pointer(Record):
    """A version of a registered model.

    Attributes:
        files: Its verified copy, for a server that may not sign in to MLflow; None lets the server
            make one.
    """

    model: str = Field(min_length=1)
    version: int = Field(gt=0)
    files: VerifiedCopy | None = None

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
    for left in path.parent.glob(f"{path.name}.*.part"):
        if not psutil.pid_exists(int(left.name.split(".")[-2])):  # of a process that was killed
            left.unlink(missing_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(pointer.model_dump_json(), encoding="utf-8")
    flush(part)
    failpoint("pointer.before-rename")
    part.replace(path)
    failpoint("pointer.after-rename")
    flush(path.parent)


class Load(Value):
    """The worker's first line: the verified copy to load, and what its requests may cost.

    Attributes:
        rows: Answers to generate at the same time, if the version's wrapper can.
        memory_bytes: Most that the engine may hold; None for what its model needs.
    """

    files: VerifiedCopy
    rows: int = 1
    memory_bytes: int | None = None


class Generate(Value):
    """One client's request, in OpenAI's terms; None leaves the model's default.

    Attributes:
        request_id: Repeated in every event of its answer.
        prompts: Texts or conversations (messages as chat templates know them), each to be answered
            ``n`` times.
        seed: Of the first answer; each further answer adds one.
        guidance: What an answer must match: the runtime's name of the kind (``json_schema``,
            ``regex`` or ``lark_grammar``), and its text.
        tools: For the chat template; None unless it knows tools and the conversation has any.
    """

    kind: Literal["generate"] = "generate"
    request_id: int
    prompts: tuple[str | tuple[dict[str, Any], ...], ...]
    n: int = 1
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    repetition_penalty: float | None = None
    guidance: tuple[str, str] | None = None
    tools: tuple[dict[str, Any], ...] | None = None


class Cancel(Value):
    """The client of this request has left."""

    kind: Literal["cancel"] = "cancel"
    request_id: int


class ToolSupport(Value):
    """What a chat template that knows tools does with them.

    Attributes:
        form: How the family writes calls.
        in_system: It renders them as a field of the system message.
    """

    form: ToolFormat
    in_system: bool = False


class Loaded(Value):
    """The engine's first line: its model is verified and loaded.

    Attributes:
        digest: Of the artifact's files, equal to the released digest.
        max_tokens: Limit of an answer where the request sets none.
        memory_bytes: Most that the engine may hold.
        rows: Requests that it takes at the same time; 1 with the wrappers of earlier versions.
        cache_tokens: Tokens for which the caches of all requests have memory; 0 if unknown.
        tools: None if the chat template, or a wrapper that was logged earlier, knows none.
    """

    kind: Literal["loaded"] = "loaded"
    digest: str
    max_tokens: int
    memory_bytes: int
    rows: int = 1
    cache_tokens: int = 0
    tools: ToolSupport | None = None


class LoadFailed(Value):
    """The engine's first and last line: its model cannot be loaded, for this reason."""

    kind: Literal["load_failed"] = "load_failed"
    reason: str


class Alive(Value):
    """A sign of life, and what the engine does; wrappers of earlier versions have no lanes.

    Attributes:
        request_id: The request that the engine works on if it works on one alone.
        lanes: Batches, and answers that no batch takes.
        rows: Answers in them.
        cache_tokens: Tokens for which their caches have memory.
    """

    kind: Literal["alive"] = "alive"
    request_id: int | None
    lanes: int = 0
    rows: int = 0
    cache_tokens: int = 0


class TextDelta(Value):
    """The next piece of an answer.

    Attributes:
        index: Of the answer; the ``n`` answers to the first prompt come first.
        finish_reason: Set in the answer's last piece.
        completion_tokens: Of this answer so far.
    """

    kind: Literal["delta"] = "delta"
    request_id: int
    index: int
    text: str
    finish_reason: Literal["stop", "length"] | None
    prompt_tokens: int
    completion_tokens: int


class End(Value):
    """The last event of a request: ``refused`` is the client's fault, ``failed`` the server's.

    Attributes:
        param: Place of the field that the wrapper refuses; None from older wrappers.
    """

    kind: Literal["end"] = "end"
    request_id: int
    outcome: Literal["done", "cancelled", "refused", "failed"]
    reason: str = ""
    code: str = "invalid_value"
    param: str | None = None


Order = Generate | Cancel
Event = Loaded | LoadFailed | Alive | TextDelta | End

ORDER: TypeAdapter[Order] = TypeAdapter(Annotated[Order, Field(discriminator="kind")])
EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
