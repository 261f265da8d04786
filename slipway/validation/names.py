"""Which paths may be part of a source: an allow-list of names, and of plain files only."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from slipway.errors import SourceRefused

#: Endings of files that may be part of a checkpoint or an artifact.
SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".md", ".model", ".onnx", ".data")
#: Files without such an ending that may be part of one.
PREFIXES = ("LICENSE", "LICENCE", "NOTICE", "README")


def admitted(path: str) -> bool:
    """Tell whether a file of this name may be part of a checkpoint or an artifact.

    Args:
        path: Relative to the source's root, as a source lists it.
    """
    return _fault(path) is None


def files(folder: Path) -> dict[str, Path]:
    """Return every file below ``folder`` by its relative path, in order.

    Raises:
        SourceRefused: Naming the first path that may not be there.
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
    if fault := _fault(name):
        raise SourceRefused(name if name.isprintable() else ascii(name), *fault)
    if path.is_symlink():
        raise SourceRefused(name, "links are not let in", "put the file itself there")
    if not path.is_file():
        raise SourceRefused(name, "only plain files are let in", "remove it")


def _fault(name: str) -> tuple[str, str] | None:
    """Return the rule that a name breaks, and what to do."""
    parts = PurePosixPath(name).parts
    if not name.isprintable() or "\\" in name:
        return "a name of letters that do not print, or with a backslash", "rename it"
    if name.startswith("/") or ".." in parts:
        return "the path leads out of the source", "put the file inside"
    if any(part.startswith(".") for part in parts):
        return "hidden files are not let in", "remove it, or give it another name"
    if name.endswith(".py"):
        return "code is never run or shipped", "remove it, and any auto_map"
    if not (name.endswith(SUFFIXES) or PurePosixPath(name).name.startswith(PREFIXES)):
        rule = f"only {', '.join(SUFFIXES)} and license texts are let in"
        return rule, "remove it, or save the weights as safetensors"
    return None


def checkpoint_files(paths: Iterable[str]) -> tuple[str, ...]:
    """Return those of a repository's ``paths`` that make up a transformers checkpoint."""
    return tuple(
        sorted(
            path
            for path in paths
            if "/" not in path
            and admitted(path)
            and not path.startswith("consolidated")
            and not path.endswith((".onnx", ".data"))
        )
    )
