"""What a disk refuses: it is full, a quota is used up, or it is broken."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.errors import DiskFailed

_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def failure(error: Exception, folder: Path | None = None) -> DiskFailed | None:
    """Return our error for one that a disk has caused; None if it has another cause.

    Args:
        error: Of Python or of a library.
        folder: What was being written; the file that ``error`` names if None.
    """
    if not isinstance(error, OSError):
        return None
    # shutil.copytree collects errors as text
    text = str(error) if error.errno is None else os.strerror(error.errno)
    place = folder or error.filename2 or error.filename or "a file"
    reasons = (reason for reason in map(os.strerror, _FAULTS) if reason in text)
    return next((DiskFailed(str(place), reason) for reason in reasons), None)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Let the body write to a folder.

    Raises:
        DiskFailed: If its disk refuses that.
    """
    try:
        yield
    except OSError as error:
        if failed := failure(error, folder):
            raise failed from error
        raise
