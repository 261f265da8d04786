"""Which files, which variant, which candidate. Pure."""

import re
from collections.abc import Iterable, Sequence

from slipway.errors import MachineTooSmall, NoVariant
from slipway.intake import admitted
from slipway.values import Quantization, SelectRecipe

#: Memory of a build as a multiple of the weights' bytes in bfloat16, measured with
#: onnxruntime-genai 0.18 on a model of 494 million parameters.
_BUILD_MEMORY = {"rtn": 6.0, "k_quant": 9.0}

_CONFIG = "genai_config.json"


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


def variant_files(repo: str, paths: Iterable[str], recipe: SelectRecipe) -> tuple[str, ...]:
    """Return the files of the published variant that ``recipe`` asks for.

    A variant is a folder with a ``genai_config.json``; its path tells target, precision and the
    rest. Where several fit, accuracy level 4 is preferred, since it is the fast one on a CPU.

    Raises:
        NoVariant: If none fits, or more than one equally well.
    """
    listing = tuple(paths)
    folders = sorted(
        path.rpartition("/")[0] for path in listing if path.rpartition("/")[2] == _CONFIG
    )
    fitting = [folder for folder in folders if {recipe.target, recipe.precision} <= _words(folder)]
    best = [folder for folder in fitting if "acc-level-4" in folder] or fitting
    if len(best) != 1:
        wanted = f"{recipe.target} {recipe.precision}"
        raise NoVariant(repo, wanted, tuple(folder or "(its root)" for folder in folders))
    return tuple(
        sorted(path for path in listing if path.rpartition("/")[0] == best[0] and admitted(path))
    )


def candidate(
    candidates: Sequence[Quantization], parameters: int, free_memory_bytes: int
) -> Quantization:
    """Return the first of ``candidates`` whose build fits into this machine's memory.

    Args:
        candidates: In order of preference.
        parameters: Numbers in the weights.
        free_memory_bytes: What a build may take.

    Raises:
        MachineTooSmall: If none fits; with what the cheapest needs.
    """
    for choice in candidates:
        if build_memory_bytes(choice, parameters) <= free_memory_bytes:
            return choice
    cheapest = min(build_memory_bytes(choice, parameters) for choice in candidates)
    raise MachineTooSmall("prepare", "memory", cheapest, free_memory_bytes)


def build_memory_bytes(choice: Quantization, parameters: int) -> int:
    """Return about how much memory the builder takes at most."""
    return int(_BUILD_MEMORY[choice.method] * 2 * parameters)


def _words(folder: str) -> set[str]:
    return set(re.split(r"[/_-]", folder.lower()))
