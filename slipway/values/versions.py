"""What is logged and registered, and what it was made of."""

from typing import Literal, get_args

from pydantic import Field

from slipway.values.base import Value

Contract = Literal["prompt", "chat"]
#: ``onnx`` serves, ``transformers`` is the reference.
WrapperKind = Literal["onnx", "transformers"]
WRAPPER_KINDS: tuple[WrapperKind, ...] = get_args(WrapperKind)
#: Of a version of the registry; ``slipway.registry.transitions`` has what leads to each.
VersionState = Literal[
    "absent",
    "registered",
    "pending",
    "approved",
    "rejected",
    "superseded",
    "released",
    "quarantined",
]


def registered_name(model: str, kind: WrapperKind) -> str:
    """Return the name of the registered model that holds one wrapper of the entry ``model``."""
    return model if kind == "onnx" else f"{model}-{kind}"


def registered_names(model: str) -> dict[str, WrapperKind]:
    """Return the names of both registered models of the entry ``model``, with their wrappers."""
    return {registered_name(model, kind): kind for kind in WRAPPER_KINDS}


class LoggedWrapper(Value):
    """One wrapper in MLflow: a logged model, and the registry's version of it.

    Attributes:
        model_id: MLflow's id of the logged model, ``m-…``.
        name: The registered model's.
    """

    kind: WrapperKind
    contract: Contract
    model_id: str
    name: str
    version: int = Field(gt=0)
    size_bytes: int = Field(ge=0)

    @property
    def uri(self) -> str:
        """Address in the registry, ``models:/name/version``."""
        return f"models:/{self.name}/{self.version}"


class RegisteredVersions(Value):
    """Both wrappers of one release, registered and not yet promoted."""

    model: str
    key: str
    run_id: str
    onnx: LoggedWrapper
    transformers: LoggedWrapper

    @property
    def wrappers(self) -> tuple[LoggedWrapper, LoggedWrapper]:
        """Both, the serving one first."""
        return self.onnx, self.transformers


class Manifest(Value):
    """Everything that shaped a release, so that the next one can say what changed.

    Attributes:
        chat_template_digest: SHA-256 of its chat template; None if it has none.
        settings: Entries of the configuration files, as ``config.json: rope_theta``.
        weights: SHA-256 of the checkpoint's files, by path.
        artifact: SHA-256 of the artifact's files, by path.
    """

    repo: str
    commit: str
    license: str | None
    chat_template_digest: str | None
    variant: str
    settings: dict[str, str]
    weights: dict[str, str]
    artifact: dict[str, str]
    tools: dict[str, str]
