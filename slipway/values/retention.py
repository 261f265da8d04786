"""What may be deleted, by which rule, and what becomes of each."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from slipway.values.base import Value
from slipway.values.versions import VersionState

#: ``files go``: a version stays in the registry, since it keeps its release out, without its files.
Fate = Literal["stays", "goes", "files go"]


class Retention(Value):
    """What stays although nothing needs it.

    Attributes:
        versions: Count of the newest versions that may serve.
        days: Age up to which anything stays, counted from its last use.
    """

    versions: int = Field(default=5, ge=1)
    days: float = Field(default=30, ge=1, allow_inf_nan=False)


class RegisteredRelease(Value):
    """The versions of one release, of both wrappers.

    Attributes:
        number: Of the version that serves; of the reference, where the other is gone.
        versions: Each as registered model and number.
        state: Of the version that serves.
        aliases: Those that name one of the versions.
        pinned: Whether a person set the tag that keeps it.
        served: Whether a model server of this machine has it.
        copied_to: Addresses of versions elsewhere that read its files.
        used_at: When it was registered, or last loaded on this machine.
    """

    kind: Literal["version"] = "version"
    model: str
    number: int
    versions: tuple[tuple[str, int], ...]
    state: VersionState
    aliases: tuple[str, ...]
    pinned: bool
    served: bool = False
    copied_to: tuple[str, ...]
    used_at: AwareDatetime

    @property
    def name(self) -> str:
        """Address in the registry."""
        return f"models:/{self.model}/{self.number}"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses of all its versions."""
        return tuple(f"models:/{name}/{number}" for name, number in self.versions)

    @property
    def size_bytes(self) -> int:
        """Nothing: its files are counted as those of its logged models."""
        return 0


class LoggedFiles(Value):
    """The files of a logged model.

    Attributes:
        name: MLflow's id of it.
        running: Whether the release that logged it is still running.
        read_by: Addresses of the registered versions that read them.
    """

    kind: Literal["logged model"] = "logged model"
    name: str
    size_bytes: int
    used_at: AwareDatetime
    running: bool
    read_by: tuple[str, ...]


class HomeFile(Value):
    """A file or folder of the home that can be made again, or that nothing reads any more.

    Attributes:
        name: Its path below the home.
        served: Whether a model server of this machine has it.
    """

    kind: Literal["store", "copy", "log", "result"]
    name: str
    path: Path
    size_bytes: int
    used_at: AwareDatetime
    served: bool = False


class Inventory(Value):
    """What there is at a moment: of one model in MLflow, or of the home."""

    at: AwareDatetime
    retention: Retention
    releases: tuple[RegisteredRelease, ...] = ()
    logged: tuple[LoggedFiles, ...] = ()
    files: tuple[HomeFile, ...] = ()


class CleanDecision(Value):
    """What becomes of one thing, and why."""

    item: Annotated[RegisteredRelease | LoggedFiles | HomeFile, Field(discriminator="kind")]
    fate: Fate
    reason: str

    @property
    def freed_bytes(self) -> int:
        """Sum of the file sizes that go with it."""
        return self.item.size_bytes if self.fate == "goes" else 0
