"""Which files of a checkpoint, which way to quantize."""

import pytest

from slipway import choose
from slipway.errors import MachineTooSmall
from slipway.values import Quantization

PARAMETERS = 1_000_000_000
K_QUANT = Quantization(precision="int4", method="k_quant")
RTN = Quantization(precision="int8")


def test_a_checkpoint_is_the_files_that_transformers_loads() -> None:
    """Other formats of the same weights, code and what lies in folders stay where they are."""
    paths = choose.checkpoint_files(
        (
            "tokenizer.json",
            "model.safetensors",
            "config.json",
            "LICENSE",
            "README.md",
            "chat_template.jinja",
            "tokenizer.model",
            "merges.txt",
            "consolidated.safetensors",
            "consolidated.00.pth",
            "pytorch_model.bin",
            "modeling_tiny.py",
            "model.onnx",
            "model.onnx.data",
            "onnx/model.safetensors",
            ".gitattributes",
        )
    )

    assert paths == (
        "LICENSE",
        "README.md",
        "chat_template.jinja",
        "config.json",
        "merges.txt",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer.model",
    )


@pytest.mark.parametrize(
    ("free_bytes", "chosen"),
    [(18 * 10**9, K_QUANT), (18 * 10**9 - 1, RTN), (12 * 10**9, RTN)],
)
def test_the_first_candidate_that_fits_into_memory_is_built(
    free_bytes: int, chosen: Quantization
) -> None:
    """The better method where there is room for it, the cheaper one elsewhere; borders included."""
    assert choose.candidate((K_QUANT, RTN), PARAMETERS, free_bytes) == chosen


def test_a_machine_too_small_is_told_what_the_cheapest_candidate_needs() -> None:
    """One byte too few is too few, and nothing is started."""
    with pytest.raises(MachineTooSmall) as caught:
        choose.candidate((K_QUANT, RTN), PARAMETERS, 12 * 10**9 - 1)

    error = caught.value
    assert (error.step, error.resource) == ("prepare", "memory")
    assert (error.needed_bytes, error.free_bytes) == (12 * 10**9, 12 * 10**9 - 1)
