"""Which files of a checkpoint, which candidate. Pure."""

from collections.abc import Iterable, Sequence
from typing import Literal

from slipway.errors import NothingBuilt
from slipway.intake import admitted
from slipway.values import Choice, Contender, Estimate, Metric, Quantization

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
    contenders: Sequence[Contender], prefer: Literal["first", "smallest", "fastest"]
) -> Choice:
    """Return the candidate that goes on: of those that pass their gates, the preferred one.

    If none passes, the one that is closest to its source goes on all the same, so that it is asked
    and reported; its gates keep it from being promoted.

    Args:
        contenders: In the recipe's order.
        prefer: ``first`` in that order, ``smallest`` in bytes, or ``fastest`` to generate.

    Raises:
        NothingBuilt: If none could be built; with each one's reason.
    """
    passing = [each for each in contenders if each.passes]
    if passing:
        best = min(passing, key=lambda each: _rank(each, prefer))
        return _choice(contenders, best, _why(prefer, len(passing), len(contenders)))
    built = [each for each in contenders if each.trial.attempt.artifact]
    if not built:
        raise NothingBuilt(tuple(f"{each.trial.variant}: {_reason(each)}" for each in contenders))
    best = min(built, key=lambda each: _figure(each, "kl_mean", worst=float("inf")))
    return _choice(contenders, best, "none passes its gates; this one is closest to its source")


def build_memory_bytes(choice: Quantization, parameters: int) -> int:
    """Return about how much memory the builder takes at most."""
    return int(_BUILD_MEMORY[choice.method] * 2 * parameters)


def _choice(contenders: Sequence[Contender], best: Contender, reason: str) -> Choice:
    return Choice(contenders=tuple(contenders), variant=best.trial.variant, reason=reason)


def _rank(contender: Contender, prefer: str) -> float:
    """Return what is smallest for the preferred candidate; equals keep the recipe's order."""
    if prefer == "smallest":
        return _figure(contender, "size_bytes", worst=float("inf"))
    if prefer == "fastest":
        return -_figure(contender, "decode_tokens_per_second", worst=0.0)
    return 0.0


def _figure(contender: Contender, metric: Metric, worst: float) -> float:
    return contender.trial.figures.get(metric, Estimate.exact(worst)).value


def _why(prefer: str, passing: int, total: int) -> str:
    if total == 1:
        return "the recipe's only candidate, and it passes its gates"
    count = "the only one" if passing == 1 else f"the {prefer} of the {passing}"
    return (
        f"{count} of {total} that passes its gates"
        if passing == 1
        else (f"{count} that pass their gates, of {total}")
    )


def _reason(contender: Contender) -> str:
    return contender.trial.reason or contender.trial.attempt.reason or "no reason was given"
