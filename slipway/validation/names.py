"""Which paths may be part of a source: an allow-list of names, and of regular files only."""

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from slipway.errors import SourceRefused
from slipway.values.paths import stays_inside

#: Suffixes of files that may be part of a checkpoint or an artifact.
SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".md", ".model", ".onnx", ".data")
#: Beginnings of the names of texts; they have no suffix, or one of ``SUFFIXES``.
PREFIXES = ("LICENSE", "LICENCE", "NOTICE", "README")
#: A LoRA beside a model: transformers applies it, and may load another base model that it names.
ADAPTERS = ("adapter_config.json", "adapter_model.safetensors")

#: Records of a training, which no reader of a model opens; a loss in them may be NaN.
_RECORDS = ("trainer_state.json", "training_args.json", "*_results.json")
_ADAPTER = ("an adapter names its own base model", "merge it into the weights, and remove it")
_MOST_FILES = 10_000
_LONGEST_SHOWN = 200


def is_allowed(path: str) -> bool:
    """Return whether a file may be part of a checkpoint or an artifact.

    Args:
        path: Relative to the source's root, as a source lists it.
    """
    return _broken_rule(path) is None


def require_inside(place: str, paths: Iterable[str]) -> None:
    """Check the names of a listing before a path is made of one of them.

    Args:
        place: What is listed, for the error.
        paths: All of its names, also those that are not used.

    Raises:
        SourceRefused: With the first name that leads out of its folder or does not print.
    """
    every = list(paths)
    if len(every) > _MOST_FILES:
        rule = f"{len(every):,} files, and {_MOST_FILES:,} are the limit"
        raise SourceRefused(place, rule, "use another source")
    for path in every:
        if not stays_inside(path):
            raise SourceRefused(
                shown(path), f"not a path below {place}", "rename it, or use another source"
            )


def checkpoint_files(paths: Iterable[str]) -> tuple[str, ...]:
    """Return those of a repository's or folder's ``paths`` that make up a transformers checkpoint.

    What git, the Hub's client, trainers and other formats leave beside them is left out.

    Raises:
        SourceRefused: If an adapter is among them: without it the model would be another one.
    """
    root = sorted(path for path in paths if "/" not in path)
    for path in root:
        if path.lower() in ADAPTERS:
            raise SourceRefused(path, *_ADAPTER)
    return tuple(
        path
        for path in root
        if is_allowed(path)
        and not path.startswith("consolidated")
        and not path.endswith((".onnx", ".data"))
        and not any(fnmatchcase(path, record) for record in _RECORDS)
    )


def files(folder: Path, paths: Collection[str] | None = None) -> dict[str, Path]:
    """Return every file below ``folder`` by its relative path, in order.

    Args:
        folder: The folder.
        paths: The only files to look at, if given.

    Raises:
        SourceRefused: With the first path that is not allowed.
    """
    found = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if (path.is_symlink() or not path.is_dir())
        and (paths is None or path.relative_to(folder).as_posix() in paths)
    }
    require_inside("the source", found)
    for name, path in found.items():
        _check(name, path)
    return found


def shown(name: str) -> str:
    """Return a name as it may be printed: short, and without control characters."""
    return (
        name if name.isprintable() and len(name) < _LONGEST_SHOWN else ascii(name)[:_LONGEST_SHOWN]
    )


def _check(name: str, path: Path) -> None:
    if broken := _broken_rule(name):
        raise SourceRefused(name, *broken)
    if path.is_symlink():
        raise SourceRefused(name, "links are not allowed", "replace it by the file itself")
    if not path.is_file():
        raise SourceRefused(name, "only regular files are allowed", "remove it")


def _broken_rule(name: str) -> tuple[str, str] | None:
    """Return the rule that a name breaks, and what to do."""
    path = PurePosixPath(name)
    if not stays_inside(name):
        return "the path leads out of the source, or does not print", "rename it"
    if any(part.startswith(".") for part in path.parts):
        return "hidden files are not allowed", "remove it, or give it another name"
    if name.endswith(".py"):
        return "code is never run or shipped", "remove it, and any auto_map"
    if path.name.lower() in ADAPTERS:  # some disks do not tell capitals apart
        return _ADAPTER
    is_text = path.name.startswith(PREFIXES) and "." not in path.name
    if not (name.endswith(SUFFIXES) or is_text):
        rule = f"only {', '.join(SUFFIXES)} and license texts are allowed"
        return rule, "remove it, or save the weights as safetensors"
    return None
