"""Types of options that several commands have; what they refuse is known before anything starts."""

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators

from slipway.errors import NoChampion
from slipway.settings import Settings


def _not_blank(_type: Any, text: str | None) -> None:
    if text is not None and not text.strip():
        expected = "expected some words, for the record"
        raise ValueError(expected)


def _writable(_type: Any, file: Path | None) -> None:
    if file is not None and not _can_be_written(file):
        expected = "expected a file that you may write, in a folder that exists"
        raise ValueError(expected)


def _can_be_written(file: Path) -> bool:
    try:
        if file.exists():
            return not file.is_dir() and os.access(file, os.W_OK)
        tempfile.TemporaryFile(dir=file.absolute().parent).close()
    except OSError:
        return False
    return True


#: A file that a command writes at its end; an existing one is replaced.
OutputFile = Annotated[Path, Parameter(validator=_writable)]

#: Why a person does something.
Reason = Annotated[str, Parameter(validator=_not_blank)]

#: Number of a registered version.
VersionNumber = Annotated[int, Parameter(validator=validators.Number(gte=1))]

#: A TCP port; 0 takes a free one.
Port = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))]

#: How many of something there have to be.
Count = Annotated[int, Parameter(validator=validators.Number(gte=1))]

#: Largest loss that is accepted, in the unit of what is measured.
Margin = Annotated[float, Parameter(validator=validators.Number(gte=0))]

#: A share of a whole.
Share = Annotated[float, Parameter(validator=validators.Number(gte=0, lte=1))]


def chosen_version(model: str, version: int | None, settings: Settings) -> int:
    """Return the version that a person named, or that of the champion.

    Raises:
        NoChampion: If nothing was released yet, or if there is no champion.
    """
    if settings.has_registry:
        from slipway.registry import open_registry

        if found := version or open_registry(settings).champion(model):
            return found
    raise NoChampion(model)
