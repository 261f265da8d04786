"""Evaluated candidates of a release: failed, inconclusive, selected, and not built.

Their figures resemble those of a model of 135 million parameters.
"""

from pathlib import Path
from typing import Any

from slipway.evaluation.gates import score
from slipway.values import (
    Artifact,
    BuildResult,
    Estimate,
    Evaluation,
    Fidelity,
    FileEntry,
    Gates,
    Override,
    Quantization,
    ScoredCandidate,
    Selection,
    Speed,
    Stored,
)

QUANTIZATIONS = (
    Quantization(precision="int4", accuracy_level=4),
    Quantization(
        precision="int4",
        accuracy_level=4,
        overrides=(Override(node="/lm_head/MatMul", precision="int8"),),
    ),
    Quantization(precision="int8", accuracy_level=4),
    Quantization(precision="int4", method="k_quant", accuracy_level=4),
)
FAILED, INCONCLUSIVE, SELECTED, NOT_BUILT = (each.variant for each in QUANTIZATIONS)
SOURCE_BYTES = 269_060_552
REASON = "the only one of 4 that passes its gates"
OUT_OF_MEMORY = "build was ended for memory at 6.0 GB"


def selection(chosen: Artifact, **changes: Any) -> Selection:
    """Return four candidates of which ``chosen`` is selected.

    Args:
        chosen: The artifact of the third.
        **changes: Other fields of the selection.
    """
    fields = {
        "candidates": (failed(), inconclusive(), selected(chosen), not_built()),
        "variant": chosen.variant,
        "reason": REASON,
    }
    return Selection(**fields | changes)


def failed() -> ScoredCandidate:
    """Return an int4 that is far from its source."""
    evaluation = evaluated(
        built(FAILED, 98_214_400, 41.0),
        fidelity(kl=(0.57, 0.531, 0.612), top1=(0.66, 0.648, 0.672), perplexity=2.0),
        speed(61.2),
    )
    return scored(evaluation)


def inconclusive() -> ScoredCandidate:
    """Return an int4 with an int8 output layer, whose interval includes its limit."""
    evaluation = evaluated(
        built(INCONCLUSIVE, 112_660_000, 43.5),
        fidelity(kl=(0.148, 0.139, 0.158), top1=(0.823, 0.813, 0.833), perplexity=1.12),
        speed(55.9),
    )
    return scored(evaluation)


def selected(artifact: Artifact) -> ScoredCandidate:
    """Return one that passes every gate but, where it is made too large, that on its size."""
    evaluation = evaluated(
        artifact,
        fidelity(kl=(0.0041, 0.0036, 0.0047), top1=(0.971, 0.966, 0.976), perplexity=1.004),
        speed(47.3),
    )
    return scored(evaluation)


def not_built() -> ScoredCandidate:
    """Return one whose build failed."""
    built = BuildResult(variant=NOT_BUILT, precision="int4", artifact=None, reason=OUT_OF_MEMORY)
    return scored(Evaluation(built=built, fidelity=None, speed=None, reason=OUT_OF_MEMORY))


def scored(evaluation: Evaluation) -> ScoredCandidate:
    """Return a candidate with the default gates, for a 269 MB source and no champion."""
    source = {"size_bytes": Estimate.exact(SOURCE_BYTES)}
    return score(evaluation, Gates(), source=source, champion=None)


def evaluated(artifact: Artifact, near: Fidelity | None, fast: Speed | None) -> Evaluation:
    """Return what was measured of an artifact."""
    precision = "int8" if "-int8-" in artifact.variant[:9] else "int4"
    built = BuildResult(variant=artifact.variant, precision=precision, artifact=artifact)
    return Evaluation(built=built, fidelity=near, speed=fast)


def fidelity(
    kl: tuple[float, float, float], top1: tuple[float, float, float], perplexity: float
) -> Fidelity:
    """Return what a comparison with the source found.

    Args:
        kl: Mean KL divergence with both ends of its interval.
        top1: Share of equal likeliest tokens, the same way.
        perplexity: Ratio of both perplexities.
    """
    return Fidelity(
        tokens=6144,
        broken=0,
        kl_mean=estimate(*kl),
        kl_p99=estimate(*(6 * end for end in kl)),
        top1_agreement=estimate(*top1),
        perplexity_ratio=estimate(perplexity, perplexity * 0.98, perplexity * 1.02),
        first_divergence_tokens=estimate(21.4, 17.0, 26.1),
        max_logit_difference=Estimate.exact(4.2),
        kl_long=estimate(*kl),
        kl_by_group={"english": kl[0] * 0.9, "german": kl[0] * 1.4, "code": kl[0] * 0.7},
    )


def speed(decode: float) -> Speed:
    """Return what a measurement of the speed found, by its tokens per second."""
    return Speed(
        load_seconds=0.61,
        time_to_first_token_ms=212.0,
        prefill_tokens_per_second=640.0,
        decode_tokens_per_second=decode,
        peak_memory_bytes=512_000_000,
        prompt_tokens=128,
        new_tokens=64,
        rounds=3,
    )


def built(variant: str, size_bytes: int, build_seconds: float) -> Artifact:
    """Return an artifact of one file."""
    file = FileEntry(path="model.onnx.data", size_bytes=size_bytes, sha256="ef" * 32)
    return Artifact(
        variant=variant,
        origin=None,
        nodes={"MatMulNBits int4 block 32 level 4": 211},
        stored=Stored(key=f"artifact-{variant}", folder=Path("store"), files=(file,)),
        build_seconds=build_seconds,
        peak_memory_bytes=2_104_000_000,
    )


def estimate(value: float, low: float, high: float) -> Estimate:
    """Return a figure with its interval."""
    return Estimate(value=value, low=low, high=high)
