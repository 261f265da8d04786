"""The published ONNX artifacts of a repository: what each is, its files, and which one is selected.

A variant is a folder with a ``genai_config.json``, so layouts for transformers.js or optimum are no
variants. That file names the target and the graphs; everything else is read from names. Files
are an allow-list: what ``validation`` would refuse after the download is reported before it. Pure.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from slipway.errors import NoVariant, SourceRefused
from slipway.validation import names
from slipway.validation.references import fields
from slipway.values import SelectRecipe, Variant, VariantChoice

CONFIG = "genai_config.json"

_REQUIRED = {CONFIG, "tokenizer.json", "tokenizer_config.json"}
_COMPANIONS = (
    *_REQUIRED,
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
_TEXTS = {prefix + suffix for prefix in names.PREFIXES for suffix in ("", ".md", ".txt")}
_DATA = re.compile(r"\.data$|_data(_\d+)?$")

#: Folders whose name only says that they contain ONNX files.
_CONTAINERS = {"genai", "onnx", "onnxruntime"}
_SYNONYMS = {
    "directml": "dml",
    "float16": "fp16",
    "float32": "fp32",
    "k-quant": "k_quant",
    "uint4": "int4",
    "uint8": "int8",
}
_FAST_LEVEL = 4
_UNKNOWN_BLOCK = 1_000_000  # larger than any real one, so that it is the last choice


def _word(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^-_]){pattern}(?![^-_])", re.IGNORECASE)


_TARGET = _word("(cpu|cuda|directml|dml|gpu|webgpu|npu|qnn|openvino|vitisai|rocm|trt)")
# Gemma 3 is published as gpu-fp16-io-int4-…: weights in int4, inputs and outputs in fp16.
_PRECISION = _word("(u?int[48]|bf16|(?:fp|float)(?:16|32))(?![-_]io(?![^-_]))")
_METHOD = _word("(rtn|awq|gptq|kld|hqq|k[-_]quant)")
_BLOCK = _word(r"block[-_]?(\d+)")
_LEVEL = _word(r"acc(?:uracy)?[-_]level[-_]?(\d)")


@dataclass(frozen=True)
class VariantFiles:
    """The files of one variant.

    Attributes:
        paths: The files to download, relative to the repository, in order.
        missing: Files that it needs and that are not listed, or not allowed.
    """

    paths: tuple[str, ...]
    missing: tuple[str, ...]


def parse(repo: str, sizes: Mapping[str, int], configs: Mapping[str, bytes]) -> tuple[Variant, ...]:
    """Return the variants of a repository, in order of their folders.

    Args:
        repo: ``organisation/name``; read for what neither folder nor graph names.
        sizes: Bytes of every file of the repository, by path.
        configs: Content of each ``genai_config.json``, by path. One that is not JSON is ignored.
    """
    folders = {path.rpartition("/")[0]: _read(raw) for path, raw in configs.items()}
    name = repo.rpartition("/")[2]
    return tuple(_variant(name, folder, folders[folder], sizes) for folder in sorted(folders))


def choose_each(variants: Collection[Variant], recipe: SelectRecipe) -> tuple[Variant, ...]:
    """Return the variant of each candidate of ``recipe``, in its order.

    Raises:
        NoVariant, SourceRefused: As ``choose``.
        SourceRefused: If two candidates select the same variant.
    """
    chosen = [choose(recipe.repo, variants, candidate) for candidate in recipe.candidates]
    for place, variant in enumerate(chosen):
        if variant in chosen[:place]:
            rule = "two candidates of the recipe select it"
            raise SourceRefused(
                f"{recipe.repo}/{variant.name}", rule, "remove one, or name another folder"
            )
    return tuple(chosen)


def choose(repo: str, variants: Collection[Variant], wanted: VariantChoice) -> Variant:
    """Return the variant that ``wanted`` describes.

    Target and precision must be the same. Among several, the accuracy level decides on a CPU
    (4 is the fast one), then a method that calibrates its rounding over one that does not, then
    smaller blocks, then fewer bytes, then the method's name.

    Raises:
        NoVariant: If none fits, or several fit equally well, or variants of several models fit.
        SourceRefused: If the one that fits is not complete.
    """
    fitting = [variant for variant in variants if _fits(variant, wanted)]
    lowest = min((_rank(variant, wanted) for variant in fitting), default=None)
    best = [variant for variant in fitting if _rank(variant, wanted) == lowest]
    if len({variant.model for variant in fitting}) > 1:
        best = fitting
    if len(best) != 1:
        raise NoVariant(repo, _requested(wanted), tuple(map(_described, best or variants)))
    if best[0].missing:
        config = f"{repo}/{best[0].name}/{CONFIG}"
        rule = f"it needs {', '.join(best[0].missing)} in its folder, missing or not allowed there"
        raise SourceRefused(config, rule, "select another variant")
    return best[0]


def config_paths(paths: Iterable[str]) -> tuple[str, ...]:
    """Return those of a repository's ``paths`` that make their folder a variant."""
    return tuple(sorted(path for path in paths if path.rpartition("/")[2] == CONFIG))


def files(folder: str, config: Any, paths: Collection[str]) -> VariantFiles:
    """Return the files of the variant in ``folder``.

    Graphs are those that the configuration names. Their weights are found by name in the same
    folder, since the graphs themselves are not read.

    Args:
        folder: Path inside the repository; empty for its root.
        config: Its ``genai_config.json``, whatever that contains.
        paths: All of the repository.
    """
    prefix = f"{folder}/" if folder else ""
    below = (path.removeprefix(prefix) for path in paths if path.startswith(prefix))
    listed = {name for name in below if "/" not in name}
    named = {name for key, name in fields(config) if _names_a_file(key, name)}
    allowed = {name for name in named if names.is_allowed(name)}
    graphs = {name for name in allowed if name.endswith(".onnx")}
    data = _data(listed, graphs)
    refused = {name for name in data if not names.is_allowed(name)}
    no_graph = set() if graphs else {"a graph that it names"}
    missing = (named - (allowed & listed)) | (_REQUIRED - listed) | no_graph | refused
    companions = {name for name in listed if _is_companion(name)}
    taken = (allowed & listed) | (data - refused) | companions
    texts = (_TEXTS & set(paths)) - taken
    return VariantFiles(
        paths=tuple(sorted({f"{prefix}{name}" for name in taken} | texts)),
        missing=tuple(sorted(missing)),
    )


def _names_a_file(key: str, value: Any) -> bool:
    """Return whether a field names a graph, an adapter or a processor of any part of a model."""
    return key.endswith("filename") and isinstance(value, str)


def _is_companion(name: str) -> bool:
    return name in _TEXTS or any(fnmatchcase(name, pattern) for pattern in _COMPANIONS)


def _data(listed: set[str], graphs: set[str]) -> set[str]:
    """Return the files of weights, except for those of other graphs than ``graphs``."""
    others = tuple(name for name in listed - graphs if name.endswith(".onnx"))
    return {name for name in listed if _DATA.search(name) and not name.startswith(others)}


def _fits(variant: Variant, wanted: VariantChoice) -> bool:
    """Compare with what is wanted, which states the precision of a folder whose names do not."""
    return (
        wanted.target == variant.target
        and (wanted.folder or variant.name) == variant.name
        and (wanted.model or variant.model) == variant.model
        and (variant.precision or (wanted.folder and wanted.precision)) == wanted.precision
    )


def _rank(variant: Variant, wanted: VariantChoice) -> tuple[bool, bool, int, int, str]:
    """Return a sort key; the best variant has the least."""
    fast = variant.accuracy_level == _FAST_LEVEL
    return (
        wanted.target == "cpu" and fast != (wanted.prefer == "speed"),
        variant.method in {None, "rtn"},
        variant.block_size or _UNKNOWN_BLOCK,
        variant.size_bytes,
        variant.method or "",
    )


def _requested(wanted: VariantChoice) -> str:
    model = f" of {wanted.model}" if wanted.model else ""
    folder = f" in {wanted.folder}" if wanted.folder else ""
    return f"{wanted.target} {wanted.precision}{model}{folder}"


def _described(variant: Variant) -> str:
    words = (
        variant.target,
        variant.precision or "unknown precision",
        variant.method,
        variant.block_size and f"block {variant.block_size}",
        None if variant.accuracy_level is None else f"level {variant.accuracy_level}",
        variant.model and f"of {variant.model}",
    )
    size = f"{variant.size_bytes / 1e9:.1f} GB"
    return f"{variant.name} ({' '.join(word for word in words if word)}; {size})"


def _variant(repo_name: str, folder: str, config: Any, sizes: Mapping[str, int]) -> Variant:
    found = files(folder, config, sizes.keys())
    parts = (repo_name, _decoder(config).removesuffix(".onnx"), *folder.split("/"))
    block, level = _only(_words(parts, _BLOCK)), _only(_words(parts, _LEVEL))
    return Variant(
        folder=folder,
        target="+".join(_providers(config) or _words(parts, _TARGET)) or "cpu",
        precision=_only(_words(parts, _PRECISION)),
        method=_only(_words(parts, _METHOD)),
        block_size=int(block) if block else None,
        accuracy_level=int(level) if level else None,
        model=_model(folder),
        size_bytes=sum(sizes[path] for path in found.paths),
        paths=found.paths,
        missing=found.missing,
    )


def _read(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _decoder(config: Any) -> str:
    try:
        return str(config["model"]["decoder"]["filename"])
    except (LookupError, TypeError):
        return ""


def _providers(config: Any) -> list[str]:
    """Return the execution providers of all sessions; none if no session names any.

    An empty list of options means CPU, which every other provider falls back to.
    """
    stated = [value for key, value in fields(config) if key == "provider_options"]
    found = {name for options in stated for name in _provider_names(options)}
    return sorted(found - {"cpu"}) or (["cpu"] if stated else [])


def _provider_names(options: Any) -> Iterator[str]:
    for option in options if isinstance(options, list) else [None]:
        for name in option if isinstance(option, dict) else ["unknown"]:
            yield name.lower().removesuffix("executionprovider")


def _words(parts: Sequence[str], pattern: re.Pattern[str]) -> list[str]:
    """Return the matches in the last of ``parts`` that has any, without synonyms."""
    for part in reversed(parts):
        if found := {word.lower() for word in pattern.findall(part)}:
            return sorted({_SYNONYMS.get(word, word) for word in found})
    return []


def _only(words: list[str]) -> str | None:
    return words[0] if len(words) == 1 else None


def _model(folder: str) -> str | None:
    """Return the part of a path before the words for target, precision and the like."""
    before = [_before_words(part) for part in folder.split("/")]
    return "/".join(name for name in before if name and name.lower() not in _CONTAINERS) or None


def _before_words(part: str) -> str:
    found = [pattern.search(part) for pattern in (_TARGET, _PRECISION, _METHOD, _BLOCK, _LEVEL)]
    end = min((match.start() for match in found if match), default=len(part))
    return part[:end].rstrip("-_")
