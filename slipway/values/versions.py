"""What is logged and registered, and what it was made of."""

from typing import Literal

from pydantic import Field

from slipway.values.base import Value

Contract = Literal["prompt", "chat"]
WrapperKind = Literal["onnx", "transformers"]


class LoggedWrapper(Value):
    """One wrapper in MLflow: a logged model, and the registry's version of it.

    Attributes:
        kind: ``onnx`` serves, ``transformers`` is the reference.
        contract: What it is asked and answers.
        model_id: MLflow's id of the logged model, ``m-…``.
        name: Name of the registered model.
        version: Number of the registered version.
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
    """Both wrappers of one release, registered and not yet promoted.

    Attributes:
        model: Name of the catalogue's entry.
        key: The release key, 64 hex digits.
        run_id: MLflow run of the release: parameters, metrics, report.
    """

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
        repo: Public name of the source.
        license: As the source declares it.
        chat_template_digest: SHA-256 of its chat template; None if it has none.
        variant: Name of the artifact.
        settings: Entries of the configuration files, as ``config.json: rope_theta``.
        weights: SHA-256 of the checkpoint's files, by path.
        artifact: SHA-256 of the artifact's files, by path.
        tools: Versions of the tools that shaped them.
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
