"""Every error of Slipway: what happened, what to do, whether a retry may help, the exit code.

An error is its fields, and its text is a template over them, which also documents the class. So it
pickles, and a child process can send it to its parent by name and fields.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, dataclass_transform


@dataclass_transform(eq_default=False)
@dataclass(eq=False)
class SlipwayError(Exception):
    """Base of all errors. Every subclass is a dataclass whose fields are its arguments.

    Attributes:
        text: Template of the error's text: what happened and where, a semicolon (or else a colon),
            what to do. In it, a tuple is a list with commas, and a field ``size_bytes`` is also
            there as ``size_gb``.
        retryable: Whether the same step may succeed when it is tried again.
        exit_code: What the command line returns.
    """

    text: ClassVar[str]
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init_subclass__(cls) -> None:
        dataclass(eq=False)(cls)

    def __str__(self) -> str:
        return self.text.format(**self._values())

    @property
    def brief(self) -> str:
        """The text without paths of this machine, for reports that everybody reads."""
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the fields, however they were passed."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    @property
    def message(self) -> str:
        """What happened, and where."""
        return self._parts()[0].format(**self._values())

    @property
    def advice(self) -> str:
        """What to do about it."""
        return self._parts()[2].format(**self._values())

    def _parts(self) -> tuple[str, str, str]:
        return self.text.partition("; ") if "; " in self.text else self.text.rpartition(": ")

    def _values(self) -> dict[str, Any]:
        """Return what the template may name."""
        values: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            values[field.name] = ", ".join(value) if isinstance(value, tuple) else value
            if field.name.endswith("_bytes"):
                values[f"{field.name.removesuffix('_bytes')}_gb"] = f"{value / 1e9:.1f} GB"
        return values


class BadInput(SlipwayError):
    """Something that a person wrote or named has to change first."""

    exit_code = 2


class UnknownModel(BadInput):
    text = "unknown model {model!r}; the catalogue has {known}"
    model: str
    known: tuple[str, ...]


class CatalogueInvalid(BadInput):
    """The catalogue, a file of the expectations, or the environment breaks its schema."""

    text = "{path} has {count}; nothing was started\n{lines}"
    path: str
    faults: tuple[str, ...]

    def _values(self) -> dict[str, Any]:
        count = f"{len(self.faults)} fault{'s' if len(self.faults) > 1 else ''}"
        return super()._values() | {"count": count, "lines": "\n".join(self.faults)}


class SourceMissing(BadInput):
    """A file, package, repository, revision or version that does not exist."""

    text = "{what} was not found: {remedy}"
    what: str
    remedy: str


class AccessDenied(BadInput):
    text = "no access to {repo}: {remedy}"
    repo: str
    remedy: str


class NoChampion(BadInput):
    text = "model {model!r} has no champion; run `slipway release {model}`"
    model: str


class SourceRefused(BadInput):
    """A file of the source breaks a rule; nothing of the source is used."""

    text = "{file}: {rule}; {remedy}"
    file: str
    rule: str
    remedy: str


class ArchitectureUnsupported(BadInput):
    text = (
        "config.json: architecture {architecture} cannot be quantized here; "
        "select a published ONNX artifact, or use one of {supported}"
    )
    architecture: str
    supported: tuple[str, ...]


class LicenseNotAllowed(BadInput):
    text = (
        "models.{model}.licenses: the source's license is {license} (allowed: {allowed}); "
        "read it, and add it to the list if you may use it"
    )
    model: str
    found: str | None
    allowed: tuple[str, ...]

    def _values(self) -> dict[str, Any]:
        return super()._values() | {"license": self.found or "not declared"}


class MoveRefused(BadInput):
    """An alias may not be changed as a person asked; none was changed."""

    text = "{model}: {reason}; {remedy}"
    model: str
    reason: str
    remedy: str


class NoVariant(BadInput):
    """No published artifact, or more than one, fits a recipe."""

    text = "{repo}: no single variant for {wanted}; it has {variants}"
    repo: str
    wanted: str
    found: tuple[str, ...]

    def _values(self) -> dict[str, Any]:
        variants = "no folder with a genai_config.json; select from another repository"
        if self.found:
            variants = f"{', '.join(self.found)}; correct the recipe, or name its folder or model"
        return super()._values() | {"variants": variants}


class PortTaken(BadInput):
    text = (
        "port {port} of {server} is taken, so nothing was started; "
        "stop what listens there, or set {setting} to another address"
    )
    server: str
    port: int
    setting: str


class MachineTooSmall(SlipwayError):
    text = "{step} needs {needed_gb} of {resource}, and {free_gb} are free; {way_out}"
    step: str
    resource: str
    needed_bytes: int
    free_bytes: int
    remedy: str = ""

    def _values(self) -> dict[str, Any]:
        way_out = "free some, or set SLIPWAY_HOME to a larger disk"
        if self.resource == "memory":
            way_out = "close something, or list a candidate that needs less"
        return super()._values() | {"way_out": self.remedy or way_out}


class StepFailed(SlipwayError):
    """A step's child process did not return a result."""

    @property
    def brief(self) -> str:
        """The text without the path of the log."""
        return self.text.removesuffix("; full output: {log}").format(**self._values())


class StepCrashed(StepFailed):
    text = "{step} crashed: {reason}; full output: {log}"
    step: str
    reason: str
    log: str
    killed_by: int = 0  # number of the signal


class StepTimedOut(StepFailed):
    text = (
        "{step} did not end within {limit_seconds:g} s and was stopped; "
        "raise SLIPWAY_STEP_TIMEOUT_SECONDS if it was still working; full output: {log}"
    )
    step: str
    limit_seconds: float
    log: str


class StepOutOfMemory(StepFailed):
    """The process reached its memory limit, or the system killed it."""

    text = (
        "{step} was ended for memory at {peak_gb}; use a larger machine, raise "
        "SLIPWAY_STEP_MEMORY_GB, or list a smaller candidate; full output: {log}"
    )
    step: str
    peak_bytes: int
    log: str


class InternalError(SlipwayError):
    """A defect of Slipway: an error that no code expects."""

    text = "internal error: {reason}; traceback: {log}"
    reason: str
    log: str


class NothingBuilt(SlipwayError):
    text = "no candidate of the recipe could be built: {all}; see the logs in SLIPWAY_HOME"
    reasons: tuple[str, ...]

    def _values(self) -> dict[str, Any]:
        return {"all": "; ".join(self.reasons)}


class CandidateFailed(SlipwayError):
    """A version failed its preflight; the one before it is still served."""

    text = (
        "version {version} of {model} must not be served: {reason}; "
        "correct it, and release the model again"
    )
    model: str
    version: int
    reason: str


class StoreDamaged(SlipwayError):
    """Stored bytes differ from their manifest."""

    retryable = True
    text = "store entry {key}: {file} is missing or changed; a retry makes it again"
    key: str
    file: str


class ArtifactChanged(SlipwayError):
    """The files of a registered version are not those that were released; it is not loaded."""

    text = (
        "{version}: {files} has digest {found}, but {released} was released; "
        "restore its files, or serve another version"
    )
    version: str
    files: str
    released: str
    found: str


class NotServing(SlipwayError):
    retryable = True
    text = "{version} is not being served: {reason}; try again later"
    version: str
    reason: str


class ScanPending(SlipwayError):
    """Files that the Hub has not scanned yet are not used."""

    retryable = True
    text = "{place}: the Hub's security scan is not done; run the release again later"
    place: str


class Unreachable(SlipwayError):
    retryable = True
    text = "{server} at {address} does not answer ({reason}); start it, or correct its address"
    server: str
    address: str
    reason: str


class RegistryConflict(SlipwayError):
    """The registry failed, or another process changes the aliases; they were put back."""

    retryable = True
    text = "{model}: {reason}; run it again"
    model: str
    reason: str
