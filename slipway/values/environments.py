"""Where releases are promoted to."""

from typing import Annotated

from pydantic import Field

from slipway.values.aliases import PromotionTarget
from slipway.values.base import Value

EnvironmentName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=50)]


class Environment(Value):
    """An MLflow server that champions are promoted to, and what it requires of them.

    Attributes:
        tracking_uri: Its address, which has no password.
        served_hours: How long a version must have been champion where it comes from.
        approval: Whether a person has to approve it there before it is champion.
    """

    tracking_uri: str = Field(pattern=r"^https?://[^@\s]+$")
    served_hours: float = Field(default=0, ge=0, allow_inf_nan=False)
    approval: bool = False

    @property
    def target(self) -> PromotionTarget:
        """How far a release goes there by itself."""
        return "approval" if self.approval else "champion"
