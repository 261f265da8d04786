"""Which files, which published variant, which way to quantize."""

import pytest

from slipway import choose
from slipway.errors import MachineTooSmall, NoVariant
from slipway.values import Quantization, SelectRecipe

CPU_INT4 = SelectRecipe(repo="acme/tiny-onnx", precision="int4")
LEVEL_4 = "cpu-int4-rtn-block-32-acc-level-4"
PARAMETERS = 1_000_000_000
K_QUANT = Quantization(precision="int4", method="k_quant")
RTN = Quantization(precision="int8")


def listing(*folders: str) -> tuple[str, ...]:
    """Return the files of a repository with an artifact in each of ``folders``."""
    files = ("genai_config.json", "model.onnx", "model.onnx.data", "configuration_phi3.py")
    paths = [f"{folder}/{file}".lstrip("/") for folder in folders for file in files]
    return ("README.md", ".gitattributes", *paths)


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
    ("folders", "chosen"),
    [
        pytest.param(
            (
                "cpu_and_mobile/cpu-int4-rtn-block-32",
                f"cpu_and_mobile/{LEVEL_4}",
                "cuda/cuda-fp16",
                "cuda/cuda-int4-rtn-block-32",
                "directml/directml-int4-awq-block-128",
            ),
            f"cpu_and_mobile/{LEVEL_4}",
            id="Phi-3 mini: the fast one of two",
        ),
        pytest.param(
            ("cpu-int4-rtn-block-32-acc-level-4",), LEVEL_4, id="Phi-3 medium: no parent folder"
        ),
        pytest.param(
            (
                "cpu_and_mobile/cpu-int4-awq-block-128-acc-level-4",
                "gpu/gpu-int4-awq-block-128",
            ),
            "cpu_and_mobile/cpu-int4-awq-block-128-acc-level-4",
            id="Phi-3.5 mini",
        ),
        pytest.param(
            (f"cpu_and_mobile/{LEVEL_4}", "gpu/gpu-int4-rtn-block-32"),
            f"cpu_and_mobile/{LEVEL_4}",
            id="Phi-4 mini",
        ),
        pytest.param(
            (
                "onnx/cpu_and_mobile/mistral-7b-instruct-v0.2-cpu-int4-rtn-block-32",
                f"onnx/cpu_and_mobile/mistral-7b-instruct-v0.2-{LEVEL_4}",
                "onnx/directml/mistralai_Mistral-7B-Instruct-v0.2",
            ),
            f"onnx/cpu_and_mobile/mistral-7b-instruct-v0.2-{LEVEL_4}",
            id="Mistral: the model's name before the variant's",
        ),
        pytest.param(
            (
                "onnxruntime/cpu_and_mobile/cpu-int4-kld-block-128",
                "onnxruntime/webgpu/webgpu-int4-kld-block-32",
            ),
            "onnxruntime/cpu_and_mobile/cpu-int4-kld-block-128",
            id="Qwen3: no accuracy level in any name",
        ),
    ],
)
def test_the_published_variant_is_found_in_every_known_layout(
    folders: tuple[str, ...], chosen: str
) -> None:
    """The folder for the CPU in int4, with all that is admitted in it: graph, weights, no code."""
    paths = choose.variant_files("acme/tiny-onnx", listing(*folders), CPU_INT4)

    files = ("genai_config.json", "model.onnx", "model.onnx.data")
    assert paths == tuple(f"{chosen}/{file}" for file in files)


def test_a_folder_is_a_variant_by_its_configuration() -> None:
    """Files for transformers.js have matching names beside them, and cannot be loaded here."""
    files = ("onnx-cpu-int4/model.onnx", "onnx-cpu-int4/config.json")

    paths = choose.variant_files("acme/tiny-onnx", (*files, *listing("cpu-int4")), CPU_INT4)

    assert {path.split("/")[0] for path in paths} == {"cpu-int4"}


@pytest.mark.parametrize(
    ("folders", "found"),
    [
        pytest.param((), "no folder with a genai_config.json", id="none at all"),
        pytest.param(
            ("gpu/gpu-int4-rtn-block-32",), "gpu/gpu-int4-rtn-block-32", id="another target"
        ),
        pytest.param(("cpu/cpu-fp32",), "cpu/cpu-fp32", id="another precision"),
        pytest.param(("",), "(its root)", id="a root that tells nothing"),
        pytest.param(("cpuint4",), "cpuint4", id="words that are parts of words"),
        pytest.param(
            (f"qwen-1.5B/{LEVEL_4}", f"llama-8B/{LEVEL_4}"),
            f"llama-8B/{LEVEL_4}, qwen-1.5B/{LEVEL_4}",
            id="several models in one repository",
        ),
    ],
)
def test_no_single_variant_lists_what_there_is(folders: tuple[str, ...], found: str) -> None:
    """Nothing is guessed: not another target, and not one of two that fit equally."""
    with pytest.raises(NoVariant) as caught:
        choose.variant_files("acme/tiny-onnx", listing(*folders), CPU_INT4)

    text = f"acme/tiny-onnx: no single variant for cpu int4; it has {found}"
    assert str(caught.value) == text


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
