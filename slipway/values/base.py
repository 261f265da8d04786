"""What every value is made of."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """Base of every value: frozen, closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
