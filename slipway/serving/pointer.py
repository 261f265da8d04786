"""The pointer file: which version a server's workers load when they start."""

import os
from pathlib import Path

from pydantic import Field, ValidationError

from slipway.errors import SourceMissing
from slipway.system.store import flush
from slipway.values import Value


class Pointer(Value):
    """What is served.

    Attributes:
        model: Name of the registered model.
        version: Number of its version.
    """

    model: str = Field(min_length=1)
    version: int = Field(gt=0)

    def __str__(self) -> str:
        return f"{self.model} version {self.version}"


def read(path: Path) -> Pointer:
    """Return what the file says.

    Raises:
        SourceMissing: If it is not there, or is no pointer.
    """
    try:
        return Pointer.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        advice = 'write {"model": "NAME", "version": 3} into it, or run `slipway serve NAME`'
        raise SourceMissing(f"a pointer in {path}", advice) from error


def write(path: Path, pointer: Pointer) -> None:
    """Replace the file as a whole: a worker that starts meanwhile reads either."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(pointer.model_dump_json(), encoding="utf-8")
    flush(part)
    part.replace(path)
    flush(path.parent)
