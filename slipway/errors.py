"""Everything that can go wrong on the line, as one tree.

::

    SlipwayError                      exit  retry   raised when
    ├── BadInput                       2     stop
    │   ├── UnknownModel                             the catalogue has no such entry
    │   ├── CatalogueInvalid                         the catalogue breaks its schema
    │   ├── SourceMissing                            a package, folder, repository, revision
    │   ├── SourceRefused                            a file of the source breaks a rule
    │   ├── ArchitectureUnsupported                  the builder cannot convert it
    │   ├── LicenseNotAllowed                        the entry does not list the source's license
    │   ├── MoveRefused                              a version may not serve, or nothing waits
    │   ├── NoVariant                                nothing, or too much, fits what was asked for
    │   └── PortTaken                                something else listens where a server should
    ├── MachineTooSmall                1     stop    not enough disk or memory, known beforehand
    ├── StepFailed                     1
    │   ├── StepCrashed                      stop    a child process ended with an error
    │   ├── StepTimedOut                     stop    a child process was ended at its time limit
    │   └── StepOutOfMemory                  stop    … at its memory limit, or by the system
    ├── NothingBuilt                   1     stop    no candidate of a recipe could be built
    ├── CandidateFailed                1     stop    a version must not serve: seen in its trial
    ├── AddressTaken                   1     retry   every port that was tried was taken
    ├── StoreDamaged                   1     retry   stored bytes differ from their manifest
    ├── ArtifactChanged                1     stop    a version's files are not those released
    ├── NotServing                     1     retry   a server's model cannot be asked
    ├── ScanPending                    1     retry   the Hub has not scanned the files yet
    ├── Unreachable                    1     retry   a server does not answer
    └── RegistryConflict               1     retry   the registry changed, or is moving

Every error is made of its fields, from which its text is computed; so it pickles.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(eq=False)
class SlipwayError(Exception):
    """Base of the tree.

    Attributes:
        retryable: Whether the same step may succeed when it is tried again.
        exit_code: What the command line returns.
    """

    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the fields, however they were passed."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))


class BadInput(SlipwayError):
    """Something that a person wrote or pointed to has to change first."""

    exit_code = 2


@dataclass(eq=False)
class UnknownModel(BadInput):
    """The catalogue has no entry of that name."""

    model: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"unknown model {self.model!r}; the catalogue has {', '.join(self.known)}"


@dataclass(eq=False)
class CatalogueInvalid(BadInput):
    """The catalogue, a file of the expectations, or the environment breaks its schema."""

    path: str
    faults: tuple[str, ...]

    def __str__(self) -> str:
        count = f"{len(self.faults)} fault{'s' if len(self.faults) > 1 else ''}"
        return "\n".join((f"{self.path} has {count}; nothing was started", *self.faults))


@dataclass(eq=False)
class SourceMissing(BadInput):
    """The source, or a part of it, is not there."""

    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.what} is not there: {self.advice}"


@dataclass(eq=False)
class SourceRefused(BadInput):
    """A file of the source breaks a rule; nothing of the source is used."""

    file: str
    rule: str
    advice: str

    def __str__(self) -> str:
        return f"{self.file}: {self.rule}; {self.advice}"


@dataclass(eq=False)
class ArchitectureUnsupported(BadInput):
    """The builder cannot convert this architecture."""

    architecture: str
    supported: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"config.json: architecture {self.architecture} cannot be quantized here; select a "
            f"published ONNX artifact, or use one of {', '.join(self.supported)}"
        )


@dataclass(eq=False)
class LicenseNotAllowed(BadInput):
    """The source's license is not on the entry's list."""

    model: str
    found: str | None
    allowed: tuple[str, ...]

    def __str__(self) -> str:
        found = self.found or "not declared"
        return (
            f"models.{self.model}.licenses: the source's license is {found} (allowed: "
            f"{', '.join(self.allowed)}); read it, and add it to the list if you may use it"
        )


@dataclass(eq=False)
class MoveRefused(BadInput):
    """What a person asked the registry for may not be done; no alias was moved."""

    model: str
    reason: str
    advice: str

    def __str__(self) -> str:
        return f"{self.model}: {self.reason}; {self.advice}"


@dataclass(eq=False)
class NoVariant(BadInput):
    """No published artifact, or more than one, fits what was asked for."""

    repo: str
    wanted: str
    found: tuple[str, ...]

    def __str__(self) -> str:
        if not self.found:
            found = "no folder with a genai_config.json; select from another repository"
        else:
            found = ", ".join(self.found) + "; correct the recipe, or name its folder or model"
        return f"{self.repo}: no single variant for {self.wanted}; it has {found}"


@dataclass(eq=False)
class PortTaken(BadInput):
    """Something else listens where a server should; nothing was started."""

    server: str
    port: int
    setting: str

    def __str__(self) -> str:
        return (
            f"port {self.port} of {self.server} is taken, so nothing was started; stop what "
            f"listens there, or set {self.setting} to another address"
        )


@dataclass(eq=False)
class MachineTooSmall(SlipwayError):
    """A step would not fit, so it was not started."""

    step: str
    resource: str
    needed_bytes: int
    free_bytes: int
    advice: str = ""

    def __str__(self) -> str:
        way_out = "free some, or set SLIPWAY_HOME to a larger disk"
        if self.resource == "memory":
            way_out = "close something, or list a candidate that needs less"
        return (
            f"{self.step} needs {self.needed_bytes / 1e9:.1f} GB of {self.resource}, and "
            f"{self.free_bytes / 1e9:.1f} GB are free; {self.advice or way_out}"
        )


class StepFailed(SlipwayError):
    """A step's child process did not return a result."""


@dataclass(eq=False)
class StepCrashed(StepFailed):
    """A child process ended with an error of its own."""

    step: str
    reason: str
    log: str

    def __str__(self) -> str:
        return f"{self.step} crashed: {self.reason}; all that it said is in {self.log}"


@dataclass(eq=False)
class StepTimedOut(StepFailed):
    """A child process was ended at its time limit."""

    step: str
    limit_seconds: float
    log: str

    def __str__(self) -> str:
        return (
            f"{self.step} did not end within {self.limit_seconds:.0f} s and was stopped; raise "
            f"SLIPWAY_STEP_TIMEOUT_SECONDS if it was still at work: {self.log}"
        )


@dataclass(eq=False)
class StepOutOfMemory(StepFailed):
    """A child process was ended at its memory limit, or by the system."""

    step: str
    peak_bytes: int
    log: str

    def __str__(self) -> str:
        return (
            f"{self.step} was ended for memory at {self.peak_bytes / 1e9:.1f} GB; use a larger "
            f"machine, raise SLIPWAY_STEP_MEMORY_GB, or list a smaller candidate: {self.log}"
        )


@dataclass(eq=False)
class NothingBuilt(SlipwayError):
    """No candidate of a recipe could be built."""

    reasons: tuple[str, ...]

    def __str__(self) -> str:
        said = "; ".join(self.reasons)
        return f"no candidate of the recipe could be built: {said}; see the logs in SLIPWAY_HOME"


@dataclass(eq=False)
class CandidateFailed(SlipwayError):
    """A version was tried beside the one that serves, and must not take its place."""

    model: str
    version: int
    reason: str

    def __str__(self) -> str:
        return f"version {self.version} of {self.model} must not serve: {self.reason}"


@dataclass(eq=False)
class AddressTaken(SlipwayError):
    """Ports were free when they were looked for, and taken when they were needed."""

    retryable = True

    port: int

    def __str__(self) -> str:
        return (
            f"port {self.port} of this machine was taken, and so were those tried before; nothing "
            "has changed, so redeploy again, or end what takes the ports"
        )


@dataclass(eq=False)
class StoreDamaged(SlipwayError):
    """Stored bytes differ from their manifest."""

    retryable = True

    key: str
    file: str

    def __str__(self) -> str:
        return f"store entry {self.key}: {self.file} is missing or changed; it is made again"


@dataclass(eq=False)
class ArtifactChanged(SlipwayError):
    """The files of a registered version are not those that were released; it is not loaded."""

    version: str
    files: str
    released: str
    found: str

    def __str__(self) -> str:
        return (
            f"{self.version}: {self.files} has digest {self.found}, and {self.released} was "
            "released; it is not loaded: restore its files, or serve another version"
        )


@dataclass(eq=False)
class NotServing(SlipwayError):
    """The model of a server cannot be asked now."""

    retryable = True

    version: str
    reason: str

    def __str__(self) -> str:
        return f"{self.version} does not serve: {self.reason}"


@dataclass(eq=False)
class ScanPending(SlipwayError):
    """The Hub has not looked at all the files yet; what it has not seen is not used."""

    retryable = True

    place: str

    def __str__(self) -> str:
        return f"{self.place}: the Hub's security scan is not done; run the release again later"


@dataclass(eq=False)
class Unreachable(SlipwayError):
    """A server does not answer."""

    retryable = True

    server: str
    address: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.server} at {self.address} does not answer ({self.reason}); "
            "start it, or correct its address"
        )


@dataclass(eq=False)
class RegistryConflict(SlipwayError):
    """The registry failed or changed under a move, whose aliases were put back; or it is moving."""

    retryable = True

    model: str
    reason: str

    def __str__(self) -> str:
        return f"{self.model}: {self.reason}; run it again"
