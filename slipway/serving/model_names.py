"""How a request names a model: ``NAME``, ``NAME@champion`` or ``NAME:VERSION``."""

import re
from collections.abc import Collection

from slipway.serving.api_errors import ApiError
from slipway.values import Value

_FORM = re.compile(r"(?P<name>[^@:]+)(@champion|:(?P<version>[1-9][0-9]{0,17}))?")


class AskedModel(Value):
    """The model that a request asks for.

    Attributes:
        text: As the client wrote it.
        name: The registered model; any text that has none of the forms is a name.
        version: None for the version that is served, which follows the champion.
    """

    text: str
    name: str
    version: int | None = None

    @classmethod
    def of(cls, text: str) -> "AskedModel":
        """Return what a client means."""
        found = _FORM.fullmatch(text)
        if found is None:
            return cls(text=text, name=text)
        version = found["version"]
        return cls(text=text, name=found["name"], version=int(version) if version else None)

    def require_one_of(self, models: Collection[str]) -> None:
        """Check that a server has the model, whatever its version.

        Raises:
            ApiError: 404 as OpenAI has it, if it has not.
        """
        if self.name not in models:
            served = ", ".join(models) or "no model for this key"
            raise _not_found(f"model {self.text!r:.80} does not exist; this server has {served}")

    def require_version(self, served: int) -> None:
        """Check that the served version is meant.

        Raises:
            ApiError: 404 as OpenAI has it, if another one is.
        """
        if self.version not in {None, served}:
            raise _not_found(
                f"{self.name} v{self.version} is not served; this server has version {served}"
            )


def _not_found(text: str) -> ApiError:
    return ApiError(404, text, param="model", code="model_not_found")
