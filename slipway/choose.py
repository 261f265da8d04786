"""Which files of a checkpoint, which candidate. Pure."""

from collections.abc import Iterable, Sequence

from slipway.errors import MachineTooSmall
from slipway.intake import admitted
from slipway.values import Quantization

#: Memory of a build as a multiple of the weights' bytes in bfloat16, measured with
#: onnxruntime-genai 0.18 on a model of 494 million parameters.
_BUILD_MEMORY = {"rtn": 6.0, "k_quant": 9.0}


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
