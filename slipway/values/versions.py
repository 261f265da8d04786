"""What is logged and registered."""

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
        size_bytes: Bytes of its files.
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
        onnx: The wrapper that serves.
        transformers: The reference.
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
