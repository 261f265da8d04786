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


class CommandLineInvalid(BadInput):
    """An argument or option of a command that cannot be understood."""

    text = "{reason}; `slipway {command}--help` shows what is expected"
    reason: str
    command: str


class HomeUnusable(BadInput):
    text = (
        "{path} cannot be used ({reason}); "
        "make the place writable, or set SLIPWAY_HOME to another folder"
    )
    path: str
    reason: str


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


class TextRefused(BadInput):
    """A text holds half a character; ``position`` is the index of it."""

    text = "{place}: character {position} is half a character (a lone surrogate); send whole ones"
    place: str
    position: int


class PromptRefused(BadInput):
    """A prompt that a version cannot answer; ``reason`` says what to change, as "shorten it"."""

    text = "{version} cannot answer this prompt: {reason}"
    version: str
    reason: str


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


class RegistryUnsupported(BadInput):
    """The tracking server or the registry lacks what a release needs."""

    text = "{reason}; {remedy} (docs/registries.md)"
    reason: str
    remedy: str


class RoleMissing(BadInput):
    """Who is signed in to MLflow may not do what the command would do."""

    text = (
        "{person} may not {action} (role: {role}); an administrator can give the role: "
        "slipway users role {person} {needed}"
    )
    person: str
    role: str
    action: str
    needed: str


class NoAccounts(BadInput):
    text = (
        "{uri} has no users; start MLflow with a password (`slipway up` without --open), and name "
        "it in MLFLOW_TRACKING_URI"
    )
    uri: str


class UserRefused(BadInput):
    text = "{user}: {reason}; {remedy}"
    user: str
    reason: str
    remedy: str


class ExperimentDeleted(BadInput):
    """An experiment that a person deleted; MLflow keeps its name, so no other one can be made."""

    text = (
        "the MLflow experiment {name!r} is deleted; restore it: "
        "mlflow experiments restore --experiment-id {experiment_id}"
    )
    name: str
    experiment_id: str


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


class TargetUnavailable(BadInput):
    """A recipe selects an artifact for a device that this machine has not."""

    text = (
        "models.{model}.recipe: the {target} artifact cannot be measured here: {reason}; nothing "
        "was downloaded. Release it with a Prefect worker on a machine with that device, or accept "
        'it without measurements: unmeasured = "accept" in the entry'
    )
    model: str
    target: str
    reason: str


class NoWorker(BadInput):
    """No machine with the device of a model waits for work."""

    text = (
        "no worker of the pool {pool} is online, and {model} cannot be measured here: {reason}; "
        "nothing was downloaded. Start a worker of that pool on a machine with the device, or "
        'accept the model without measurements: unmeasured = "accept" in its entry'
    )
    model: str
    pool: str
    reason: str


class ExtraMissing(BadInput):
    """A library that only an extra of the package installs."""

    text = "{package} is not installed; {advice}"
    package: str
    extra: str

    @property
    def advice(self) -> str:
        """What to do."""
        return (
            f"install it beside slipway: pip install 'slipway[{self.extra}]', or "
            f"in a checkout: .venv/bin/pip install -e '.[{self.extra}]'"
        )

    def _values(self) -> dict[str, Any]:
        return {**super()._values(), "advice": self.advice}


class ItemsDiffer(SlipwayError):
    """Two models were asked different items of a task, so their scores cannot be compared."""

    text = "source and candidate were asked different items of {task}; report it as a defect"
    task: str


class PortTaken(BadInput):
    text = (
        "port {port} of {server} {fault}, so nothing was started; "
        "stop what listens there, or choose another with {setting}"
    )
    server: str
    port: int
    setting: str
    fault: str = "is taken"


class AlreadyServed(BadInput):
    """Two servers of one model would share a folder."""

    text = "{model} is being served at {url}; use that server, or stop it first"
    model: str
    url: str


class NotServed(BadInput):
    """A command needs a model server of this home that is ready."""

    text = "no model server of this home serves {model}; run `slipway serve {model}` first"
    model: str


class ServedElsewhere(BadInput):
    """A redeploy starts and ends processes of its server, so it runs beside them."""

    text = (
        "the model server at {url}, which serves {model}, runs on another machine or in another "
        "container than this redeploy; redeploy there: let a worker beside it take the queue "
        "serve-HOST, and set SLIPWAY_SERVING_HOST=HOST where the deployments are applied"
    )
    model: str
    url: str


class ServerMissing(BadInput):
    """A redeploy finds no server of a model that is to be served."""

    text = (
        "no model server of {model} runs on {host} with home {home}, so its champion, version "
        "{version}, is not served; start `slipway up` there, or apply the deployments with "
        "SLIPWAY_SERVING_HOST=HOST of the machine that serves it"
    )
    model: str
    version: int
    host: str
    home: str


class NotEmpty(BadInput):
    """A backup replaces nothing."""

    text = "{path} is there already; save into a new folder, and restore into a new SLIPWAY_HOME"
    path: str


class AlreadyRunning(BadInput):
    """Two Prefect servers on one database would lock each other out."""

    text = (
        "the {server} server of {home} is running already: process {pid}, at {url}; "
        "stop it first (Ctrl-C), or set SLIPWAY_HOME to another folder"
    )
    server: str
    home: str
    pid: int
    url: str


class Exposed(BadInput):
    """A service without a password would listen beyond this machine."""

    text = (
        "other machines could reach {urls} without a password, so nothing was started; "
        "set SLIPWAY_AUTH=user:password, or listen on 127.0.0.1"
    )
    urls: tuple[str, ...]


class KeysMissing(BadInput):
    """A model server without keys would listen beyond this machine."""

    text = (
        "other machines could reach the model server at {host} without a key, so nothing was "
        "started; make a key with `slipway keys new NAME`, or listen on 127.0.0.1"
    )
    host: str


class KeyNameTaken(BadInput):
    text = "the name {name!r} has a key; choose another, or run `slipway keys revoke {name}` first"
    name: str


class SigningKeyUnusable(BadInput):
    """What should be one of the keys that sign releases."""

    text = "{key} cannot be used as a key of releases ({reason}); {remedy}"
    key: str
    reason: str
    remedy: str = (
        "name a PEM file with a key of the curve P-256, P-384 or P-521, such as "
        "`slipway keys init` makes"
    )


class SigstoreFailed(SlipwayError):
    """A keyless signature could not be made or checked."""

    retryable = True
    text = (
        "Sigstore does not answer, or refuses ({reason}); try again later where it can be reached, "
        "or sign and verify with a key (SLIPWAY_SIGNING_KEY, SLIPWAY_VERIFY_KEY)"
    )
    reason: str


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


class DiskFailed(SlipwayError):
    """A disk is full or broken; nothing of what was being written is used."""

    text = (
        "writing to {place} failed ({reason}); free space on its disk, or repair it, and run the "
        "command again"
    )
    place: str
    reason: str


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

    text = "{version}: {reason}; restore its files, or serve another version"
    version: str
    files: str
    released: str
    found: str

    @property
    def reason(self) -> str:
        """What differs."""
        return f"{self.files} has digest {self.found}, but {self.released} was released"

    def _values(self) -> dict[str, Any]:
        return super()._values() | {"reason": self.reason}


class VersionRefused(SlipwayError):
    """A registered version has what was not released, or lacks a proof; it is not loaded."""

    text = "{version}: {reason}; {remedy}"
    version: str
    reason: str
    remedy: str


class VersionUnsigned(VersionRefused):
    """A version that was released without a key; it is no worse than it was."""

    text = (
        "{version}: {reason}; {remedy}, since SLIPWAY_VERIFY_KEY or SLIPWAY_VERIFY_IDENTITY is set"
    )


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


class NoModelServer(SlipwayError):
    """A chat found no model server, or lost it."""

    retryable = True
    text = (
        "no model server answers at {url} ({reason}); run `slipway serve {model}` or `slipway up`, "
        "or name another address with --url"
    )
    url: str
    reason: str
    model: str


class AnswerRefused(SlipwayError):
    """A model server answers with an error, whose message says what to do."""

    text = "{url} does not answer this: {message}"
    url: str
    message: str


class RegistryConflict(SlipwayError):
    """The registry failed, or another process changes the aliases; they were put back."""

    retryable = True
    text = "{model}: {reason}; run it again"
    model: str
    reason: str
