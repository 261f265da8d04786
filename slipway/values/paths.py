"""Paths that come from elsewhere: a listing, a manifest, a data file."""

from typing import Annotated

from pydantic import AfterValidator

_LONGEST = 500


def stays_inside(path: str) -> bool:
    """Return whether ``path`` names a place below the folder that it is relative to.

    It has forward slashes, no empty part, no ``.`` or ``..``, and only characters that print: a
    line break or an escape would reach a terminal, and half a character cannot be encoded.
    """
    parts = path.split("/")
    foreign = "\\" in path or ":" in parts[0] or not path.isprintable()
    return not (foreign or len(path) > _LONGEST or {"", ".", ".."} & {*parts})


def _checked(path: str) -> str:
    if not stays_inside(path):
        raise ValueError(f"{ascii(path)[:80]} is not a path below a folder")
    return path


#: A path that is safe to append to a folder.
RelativePath = Annotated[str, AfterValidator(_checked)]
