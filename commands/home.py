"""The home, checked before a command writes to it."""

import tempfile

import psutil

from slipway.errors import HomeUnusable, MachineTooSmall
from slipway.settings import Settings

#: A command writes logs, records and databases of at most this size, beside models.
_LEAST_BYTES = 50_000_000


def require_writable(settings: Settings) -> None:
    """Make the home if there is none, and check that files can be written there.

    Raises:
        HomeUnusable: If the home is a file, or may not be written to.
        MachineTooSmall: If its disk is full.
    """
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True)
        free = psutil.disk_usage(str(home)).free
        if free < _LEAST_BYTES:
            raise MachineTooSmall("slipway", "disk", _LEAST_BYTES, free)
        tempfile.TemporaryFile(dir=home).close()
    except OSError as error:
        raise HomeUnusable(str(home), error.strerror or str(error)) from error


def require_folder(settings: Settings) -> None:
    """Check that the home is no file; there may be none yet.

    Raises:
        HomeUnusable: If it is a file, or below one.
    """
    nearest = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    if not nearest.is_dir():
        raise HomeUnusable(str(settings.home), f"{nearest} is a file")
