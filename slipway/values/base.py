"""What every value is made of."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """Base of every value: frozen, closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Record(Value):
    """Base of what is written to a file that another version of Slipway may read.

    Attributes:
        format: Of the file. A file without it was written before formats were numbered, as format
            1 is; a higher number is that of a later Slipway, and is refused.
    """

    format: Literal[1] = 1
