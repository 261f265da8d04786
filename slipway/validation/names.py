"""Which paths may be part of a source: an allow-list of names, and of regular files only."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from slipway.errors import SourceRefused

#: Suffixes of files that may be part of a checkpoint or an artifact.
SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".md", ".model", ".onnx", ".data")
#: Beginnings of the names of files without such a suffix that may be part of one.
PREFIXES = ("LICENSE", "LICENCE", "NOTICE", "README")


def is_allowed(path: str) -> bool:
    """Return whether a file may be part of a checkpoint or an artifact.

    Args:
        path: Relative to the source's root, as a source lists it.
    """
    return _broken_rule(path) is None


def checkpoint_files(paths: Iterable[str]) -> tuple[str, ...]:
    """Return those of a repository's ``paths`` that make up a transformers checkpoint."""
    return tuple(
        sorted(
            path
            for path in paths
            if "/" not in path
            and is_allowed(path)
            and not path.startswith("consolidated")
            and not path.endswith((".onnx", ".data"))
        )
    )


def files(folder: Path) -> dict[str, Path]:
    """Return every file below ``folder`` by its relative path, in order.

    Raises:
        SourceRefused: With the first path that is not allowed.
    """
    found = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }
    for name, path in found.items():
        _check(name, path)
    return found


def _check(name: str, path: Path) -> None:
    if broken := _broken_rule(name):
        raise SourceRefused(name if name.isprintable() else ascii(name), *broken)
    if path.is_symlink():
        raise SourceRefused(name, "links are not allowed", "replace it by the file itself")
    if not path.is_file():
        raise SourceRefused(name, "only regular files are allowed", "remove it")


def _broken_rule(name: str) -> tuple[str, str] | None:
    """Return the rule that a name breaks, and what to do."""
    parts = PurePosixPath(name).parts
    if not name.isprintable() or "\\" in name:
        return "the name has a backslash or characters that do not print", "rename it"
    if name.startswith("/") or ".." in parts:
        return "the path leads out of the source", "put the file inside"
    if any(part.startswith(".") for part in parts):
        return "hidden files are not allowed", "remove it, or give it another name"
    if name.endswith(".py"):
        return "code is never run or shipped", "remove it, and any auto_map"
    if not (name.endswith(SUFFIXES) or PurePosixPath(name).name.startswith(PREFIXES)):
        rule = f"only {', '.join(SUFFIXES)} and license texts are allowed"
        return rule, "remove it, or save the weights as safetensors"
    return None
