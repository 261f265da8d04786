"""The ready artifacts that a repository publishes: what each is, and which is asked for. Pure.

A variant is a folder with a ``genai_config.json``, so layouts for transformers.js or optimum never
are one. What it was made for stands in that file; the rest is told by names alone.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from slipway.errors import NoVariant, SourceRefused
from slipway.sources import variant_files
from slipway.values import SelectRecipe, Variant

#: Folders that say nothing but that ONNX files lie in them.
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
_UNKNOWN_BLOCK = 1_000_000  # larger than any that is used, and so the last choice


def _word(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^-_]){pattern}(?![^-_])", re.IGNORECASE)


_TARGET = _word("(cpu|cuda|directml|dml|gpu|webgpu|npu|qnn|openvino|vitisai|rocm|trt)")
# Gemma 3 is published as gpu-fp16-io-int4-…: weights in int4, inputs and outputs in fp16.
_PRECISION = _word("(u?int[48]|bf16|(?:fp|float)(?:16|32))(?![-_]io(?![^-_]))")
_METHOD = _word("(rtn|awq|gptq|kld|hqq|k[-_]quant)")
_BLOCK = _word(r"block[-_]?(\d+)")
_LEVEL = _word(r"acc(?:uracy)?[-_]level[-_]?(\d)")


def parse(repo: str, sizes: Mapping[str, int], configs: Mapping[str, bytes]) -> tuple[Variant, ...]:
    """Return the variants of a repository, in order of their folders.

    Args:
        repo: ``organisation/name``; the name is asked for what neither folder nor graph tell.
        sizes: Bytes of every file of the repository, by path.
        configs: What stands in each ``genai_config.json``, by path. One that is not JSON says
            nothing.
    """
    folders = {path.rpartition("/")[0]: _read(raw) for path, raw in configs.items()}
    name = repo.rpartition("/")[2]
    return tuple(_variant(name, folder, folders[folder], sizes) for folder in sorted(folders))


def choose(repo: str, variants: Collection[Variant], recipe: SelectRecipe) -> Variant:
    """Return the variant that ``recipe`` asks for.

    Target and precision must be the recipe's. Among several, the accuracy level decides on a CPU
    (4 is the fast one), then a method that weighs its roundings over one that does not, then
    smaller blocks, then fewer bytes, then the method's name.

    Raises:
        NoVariant: If none fits, or several equally well, or those of several models.
        SourceRefused: If the one that fits is not complete.
    """
    fitting = [variant for variant in variants if _fits(variant, recipe)]
    lowest = min((_rank(variant, recipe) for variant in fitting), default=None)
    best = [variant for variant in fitting if _rank(variant, recipe) == lowest]
    if len({variant.model for variant in fitting}) > 1:
        best = fitting
    if len(best) != 1:
        raise NoVariant(repo, _wanted(recipe), tuple(map(_told, best or variants)))
    if best[0].missing:
        config = f"{repo}/{best[0].name}/{variant_files.CONFIG}"
        rule = f"it needs {', '.join(best[0].missing)} beside it, which is not there or not let in"
        raise SourceRefused(config, rule, "select another variant")
    return best[0]


def _fits(variant: Variant, recipe: SelectRecipe) -> bool:
    """Compare with the recipe; one that names a folder knows a precision that no name tells."""
    return (
        recipe.target == variant.target
        and (recipe.folder or variant.name) == variant.name
        and (recipe.model or variant.model) == variant.model
        and (variant.precision or (recipe.folder and recipe.precision)) == recipe.precision
    )


def _rank(variant: Variant, recipe: SelectRecipe) -> tuple[bool, bool, int, int, str]:
    """Return what the best one has least of."""
    fast = variant.accuracy_level == _FAST_LEVEL
    return (
        recipe.target == "cpu" and fast != (recipe.prefer == "speed"),
        variant.method in {None, "rtn"},
        variant.block_size or _UNKNOWN_BLOCK,
        variant.size_bytes,
        variant.method or "",
    )


def _wanted(recipe: SelectRecipe) -> str:
    model = f" of {recipe.model}" if recipe.model else ""
    folder = f" in {recipe.folder}" if recipe.folder else ""
    return f"{recipe.target} {recipe.precision}{model}{folder}"


def _told(variant: Variant) -> str:
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
    files = variant_files.select(folder, config, sizes.keys())
    parts = (repo_name, _decoder(config).removesuffix(".onnx"), *folder.split("/"))
    block, level = _one(_said(parts, _BLOCK)), _one(_said(parts, _LEVEL))
    return Variant(
        folder=folder,
        target="+".join(_providers(config) or _said(parts, _TARGET)) or "cpu",
        precision=_one(_said(parts, _PRECISION)),
        method=_one(_said(parts, _METHOD)),
        block_size=int(block) if block else None,
        accuracy_level=int(level) if level else None,
        model=_model(folder),
        size_bytes=sum(sizes[path] for path in files.paths),
        paths=files.paths,
        missing=files.missing,
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
    """Return the execution providers of all sessions; none if no session says anything.

    An empty list says CPU, which every other provider leaves its rest to.
    """
    stated = [value for key, value in variant_files.fields(config) if key == "provider_options"]
    names = {name for options in stated for name in _provider_names(options)}
    return sorted(names - {"cpu"}) or (["cpu"] if stated else [])


def _provider_names(options: Any) -> Iterator[str]:
    for option in options if isinstance(options, list) else [None]:
        for name in option if isinstance(option, dict) else ["unknown"]:
            yield name.lower().removesuffix("executionprovider")


def _said(parts: Sequence[str], pattern: re.Pattern[str]) -> list[str]:
    """Return what the last of ``parts`` that says anything of it says, in our words."""
    for part in reversed(parts):
        if found := {word.lower() for word in pattern.findall(part)}:
            return sorted({_SYNONYMS.get(word, word) for word in found})
    return []


def _one(words: list[str]) -> str | None:
    return words[0] if len(words) == 1 else None


def _model(folder: str) -> str | None:
    """Return what stands in a path before the words for target, precision and the like."""
    before = [_before_words(part) for part in folder.split("/")]
    return "/".join(name for name in before if name and name.lower() not in _CONTAINERS) or None


def _before_words(part: str) -> str:
    found = [pattern.search(part) for pattern in (_TARGET, _PRECISION, _METHOD, _BLOCK, _LEVEL)]
    end = min((match.start() for match in found if match), default=len(part))
    return part[:end].rstrip("-_")
