"""Which files of a repository a published artifact consists of. Pure.

Graphs are named by the artifact's ``genai_config.json`` and never guessed; where their weights lie
apart, those are found beside them by name. Everything else is an allow-list: no code, ever. What
``intake`` would refuse after the download is told before it.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from slipway.validation import names

CONFIG = "genai_config.json"

_NEEDED = {CONFIG, "tokenizer.json", "tokenizer_config.json"}
_COMPANIONS = (
    *_NEEDED,
    "*processor.json",
    "*processor_config.json",
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
)
_TEXTS = {name + ending for name in names.PREFIXES for ending in ("", ".md", ".txt")}

_DATA = re.compile(r"\.data$|_data(_\d+)?$")


@dataclass(frozen=True)
class Files:
    """The files of one artifact.

    Attributes:
        paths: Those that are taken, relative to the repository, in order.
        missing: What it needs beside its configuration and has not, or not of a kind that is let
            in.
    """

    paths: tuple[str, ...]
    missing: tuple[str, ...]


def config_paths(paths: Iterable[str]) -> tuple[str, ...]:
    """Return those of a repository's ``paths`` that make their folder an artifact."""
    return tuple(sorted(path for path in paths if path.rpartition("/")[2] == CONFIG))


def select(folder: str, config: Any, paths: Collection[str]) -> Files:
    """Return the files of the artifact in ``folder``.

    Args:
        folder: Path inside the repository; empty for its root.
        config: Its ``genai_config.json``, whatever that holds.
        paths: All of the repository.
    """
    prefix = f"{folder}/" if folder else ""
    below = (path.removeprefix(prefix) for path in paths if path.startswith(prefix))
    listed = {name for name in below if "/" not in name}
    named = {name for key, name in fields(config) if _names_a_file(key, name)}
    allowed = {name for name in named if names.is_allowed(name)}
    graphs = {name for name in allowed if name.endswith(".onnx")}
    data = _data(listed, graphs)
    foreign = {name for name in data if not names.is_allowed(name)}
    missing = (named - (allowed & listed)) | (_NEEDED - listed) | _absent(graphs) | foreign
    taken = (allowed & listed) | (data - foreign) | {name for name in listed if _beside(name)}
    texts = (_TEXTS & set(paths)) - taken
    return Files(
        paths=tuple(sorted({f"{prefix}{name}" for name in taken} | texts)),
        missing=tuple(sorted(missing)),
    )


def fields(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of nested JSON; without recursion, since its depth is not ours."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from value.items()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _names_a_file(key: str, value: Any) -> bool:
    """Tell the fields for graphs, adapters and processors of every part of a model."""
    return key.endswith("filename") and isinstance(value, str)


def _absent(graphs: set[str]) -> set[str]:
    return set() if graphs else {"a graph that it names"}


def _beside(name: str) -> bool:
    return name in _TEXTS or any(fnmatchcase(name, pattern) for pattern in _COMPANIONS)


def _data(listed: set[str], graphs: set[str]) -> set[str]:
    """Return the files of weights beside ``graphs``, but for those of other graphs."""
    others = tuple(name for name in listed - graphs if name.endswith(".onnx"))
    return {name for name in listed if _DATA.search(name) and not name.startswith(others)}
