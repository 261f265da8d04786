"""What a worker and its engine say to each other: one JSON value a line."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from slipway.serving.pointer import Pointer
from slipway.tracking.location import MlflowLocation
from slipway.values import Value


class ConversationMessage(Value):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Load(Value):
    """The worker's first line: what to load.

    Attributes:
        place: Where MLflow keeps it.
        pointer: Which model and version.
        copies: Folder for copies of what a server keeps.
    """

    place: MlflowLocation
    pointer: Pointer
    copies: Path


class Ask(Value):
    """A request of one client.

    Attributes:
        kind: Tells the lines apart.
        request_id: Comes back with every part of the answer.
        prompts: Texts or conversations, each to be answered ``n`` times.
        n: Answers a prompt.
        max_tokens: Most new tokens of one answer.
        temperature: 0 takes the likeliest token; None leaves the model's default.
        top_p: Draw from the likeliest tokens that have this much probability together.
        seed: Of the first answer; each further one counts up from it.
        stop: Texts that end an answer.
    """

    kind: Literal["ask"] = "ask"
    request_id: int
    prompts: tuple[str | tuple[ConversationMessage, ...], ...]
    n: int = 1
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


class Cancel(Value):
    """Nobody waits for this request any more."""

    kind: Literal["cancel"] = "cancel"
    request_id: int


class Loaded(Value):
    """The engine's first line: its model is verified and loaded.

    Attributes:
        kind: Tells the lines apart.
        digest: Of the artifact's files, as they were released and as they are.
        max_tokens: Of an answer where the request names no limit.
    """

    kind: Literal["served"] = "served"
    digest: str
    max_tokens: int


class LoadFailed(Value):
    """The engine's first and last line: its model cannot be loaded, for this reason."""

    kind: Literal["unserved"] = "unserved"
    reason: str


class TextDelta(Value):
    """A part of an answer.

    Attributes:
        kind: Tells the lines apart.
        request_id: Of the request.
        index: Of the answer: those of the first prompt come first.
        text: What to append to it.
        finish_reason: Of the answer's last part.
        prompt_tokens: Of the prompt.
        completion_tokens: Generated for this answer so far.
    """

    kind: Literal["part"] = "part"
    request_id: int
    index: int
    text: str
    finish_reason: Literal["stop", "length"] | None
    prompt_tokens: int
    completion_tokens: int


class End(Value):
    """The last line about a request.

    Attributes:
        kind: Tells the lines apart.
        request_id: Of the request.
        outcome: ``refused`` is the client's fault, ``failed`` is ours.
        reason: For the last two.
    """

    kind: Literal["end"] = "end"
    request_id: int
    outcome: Literal["done", "cancelled", "refused", "failed"]
    reason: str = ""


Order = Annotated[Ask | Cancel, Field(discriminator="kind")]
Event = Annotated[Loaded | LoadFailed | TextDelta | End, Field(discriminator="kind")]

ORDER: TypeAdapter[Ask | Cancel] = TypeAdapter(Order)
EVENT: TypeAdapter[Loaded | LoadFailed | TextDelta | End] = TypeAdapter(Event)
