"""The published variant that a recipe asks for is found in every layout, or nothing is."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway import errors
from slipway.errors import NoVariant, SlipwayError, SourceRefused
from slipway.sources import variants
from slipway.values import Variant, VariantChoice

LAYOUTS = json.loads(
    (Path(__file__).parents[1] / "support" / "published_layouts.json").read_text(encoding="utf-8")
)
BY_NAME = {layout["layout"]: layout for layout in LAYOUTS}
ASKED = [
    pytest.param(layout, asked, id=f"{layout['layout']}: {json.dumps(asked['recipe'])}")
    for layout in LAYOUTS
    for asked in layout["asked"]
]


def parsed(layout: dict[str, Any]) -> tuple[Variant, ...]:
    """Return the variants of a layout; an unknown size is 0."""
    sizes = {path: size or 0 for path, size in layout["files"].items()}
    configs = {
        f"{folder}/genai_config.json".lstrip("/"): json.dumps(config).encode()
        for folder, config in layout["configs"].items()
    }
    return variants.parse(layout["repo"], sizes, configs)


def chosen(layout: dict[str, Any], found: tuple[Variant, ...], **recipe: Any) -> Variant:
    """Return what a recipe selects among the variants of a layout."""
    repo = layout["repo"]
    return variants.choose(repo, found, VariantChoice(**recipe))


def outcome(layout: dict[str, Any], **recipe: Any) -> Variant | str:
    """Return what a recipe selects, or the text of the error that says why it does not."""
    try:
        return chosen(layout, parsed(layout), **recipe)
    except SlipwayError as error:
        return str(error)


def variant(folder: str, config: Any = None, repo: str = "acme/tiny") -> Variant:
    """Return the variant of a folder with only a configuration."""
    path = f"{folder}/genai_config.json".lstrip("/")
    [only] = variants.parse(repo, {path: 1}, {path: json.dumps(config).encode()})
    return only


def test_there_are_enough_layouts_and_each_names_its_origin() -> None:
    """Unpublished figures are marked as made up."""
    assert len(BY_NAME) == len(LAYOUTS) >= 25
    assert all("published" in x["note"] or "ade up" in x["note"] for x in LAYOUTS)


@pytest.mark.parametrize(("layout", "asked"), ASKED)
def test_a_recipe_selects_the_expected_variant_of_a_layout(
    layout: dict[str, Any], asked: dict[str, Any]
) -> None:
    """The expected folder with every byte of it, or the expected error."""
    if "error" in asked:
        with pytest.raises(getattr(errors, asked["error"])):
            chosen(layout, parsed(layout), **asked["recipe"])
        return

    found = chosen(layout, parsed(layout), **asked["recipe"])

    assert found.folder == asked["folder"]
    assert found.size_bytes == asked.get("size_bytes", found.size_bytes)


@pytest.mark.parametrize("layout", LAYOUTS, ids=BY_NAME)
def test_a_variant_takes_its_own_files_alone_and_never_code(layout: dict[str, Any]) -> None:
    """Beside them only the license and the card of the repository; each file is listed."""
    for found in parsed(layout):
        prefix = f"{found.folder}/" if found.folder else ""
        elsewhere = {path for path in found.paths if not path.startswith(prefix)}

        assert elsewhere <= {"LICENSE", "README.md"}
        assert set(found.paths) <= set(layout["files"])
        assert not any(path.endswith(".py") for path in found.paths)


@given(st.data())
def test_the_order_of_a_listing_never_changes_the_choice(data: st.DataObject) -> None:
    """The Hub may list files, and a file its fields, as it likes."""
    layout = data.draw(st.sampled_from(LAYOUTS))
    recipe = data.draw(st.sampled_from(layout["asked"]))["recipe"]
    turned = layout | {
        part: dict(data.draw(st.permutations(list(layout[part].items()))))
        for part in ("files", "configs")
    }

    assert outcome(turned, **recipe) == outcome(layout, **recipe)


@given(
    st.sampled_from(LAYOUTS),
    st.sampled_from(["cpu", "cuda", "dml", "webgpu"]),
    st.sampled_from(["int4", "int8", "fp16", "fp32"]),
    st.sampled_from(["speed", "accuracy"]),
)
def test_another_target_or_precision_is_never_taken_instead(
    layout: dict[str, Any], target: str, precision: str, prefer: str
) -> None:
    """Whatever is preferred, it is among those that fit exactly."""
    found = outcome(layout, target=target, precision=precision, prefer=prefer)

    if isinstance(found, Variant):
        assert (found.target, found.precision) == (target, precision)


def test_an_absent_variant_lists_all_that_there_is() -> None:
    """With what was read of each, so that a person can correct the recipe."""
    text = outcome(BY_NAME["Llama 3.2 3B"], target="dml", precision="int4")

    assert text == (
        "onnx-community/Llama-3.2-3B-Instruct-GENAI-ONNX: no single variant for dml int4; it has "
        "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4 (cpu int4 rtn block 32 level 4; 3.7 GB), "
        "cuda/cuda-int4-rtn-block-32 (cuda int4 rtn block 32; 0.0 GB); "
        "correct the recipe, or name its folder or model"
    )


def test_variants_of_several_models_are_not_chosen_by_size() -> None:
    """Only those that fit are listed; which of two models is meant is never for us to say."""
    text = outcome(BY_NAME["Gemma 3"], precision="int4")

    level_4 = "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4 (cpu int4 rtn block 32 level 4 of"
    assert text == (
        "onnxruntime/Gemma-3-ONNX: no single variant for cpu int4; it has "
        f"gemma-3-1b-it/{level_4} gemma-3-1b-it; 0.0 GB), "
        f"gemma-3-4b-it/{level_4} gemma-3-4b-it; 6.1 GB); "
        "correct the recipe, or name its folder or model"
    )


def test_what_was_wanted_is_repeated_with_folder_and_model() -> None:
    """A misspelt folder is an error; the root is a dot."""
    with pytest.raises(NoVariant) as caught:
        variants.choose(
            "acme/tiny",
            [variant("")],
            VariantChoice(precision="int4", folder="cpu", model="tiny"),
        )

    assert caught.value.wanted == "cpu int4 of tiny in cpu"
    assert caught.value.found == (". (cpu unknown precision; 0.0 GB)",)


def test_an_incomplete_variant_is_refused_with_what_it_lacks() -> None:
    """A worse one is not taken in silence."""
    with pytest.raises(SourceRefused) as caught:
        chosen(
            BY_NAME["a graph that is a library"],
            parsed(BY_NAME["a graph that is a library"]),
            precision="int4",
        )

    assert str(caught.value) == (
        "acme/hostile/cpu-int4/genai_config.json: it needs speech.py, vision.so in its folder, "
        "missing or not allowed there; select another variant"
    )


@pytest.mark.parametrize(
    ("options", "target"),
    [
        pytest.param([], "cpu", id="an empty list is the CPU"),
        pytest.param([{"cuda": {"enable_cuda_graph": "0"}}], "cuda", id="a key"),
        pytest.param([{"DML": {}}], "dml", id="in any case"),
        pytest.param([{"WebGPUExecutionProvider": {}}], "webgpu", id="by its long name"),
        pytest.param([{"cuda": {}}, {"cpu": {}}], "cuda", id="the CPU takes what is left"),
        pytest.param([{"cpu": {}}], "cpu", id="the CPU by name"),
        pytest.param([{"cuda": {}, "dml": {}}], "cuda+dml", id="two at once"),
        pytest.param({"cuda": {}}, "unknown", id="no list"),
        pytest.param(["cuda"], "unknown", id="a list of something else"),
    ],
)
def test_the_configuration_decides_the_target(options: Any, target: str) -> None:
    """Over a different name; an unreadable name fits no recipe."""
    config = {"model": {"decoder": {"session_options": {"provider_options": options}}}}

    assert variant("webgpu/cpu-cuda-int4", config).target == target


@pytest.mark.parametrize(
    ("folder", "target"),
    [
        ("cuda/int4", "cuda"),
        ("cuda/cpu", "cpu"),
        ("gpu", "gpu"),
        ("cpu-cuda", "cpu+cuda"),
        ("", "cpu"),
    ],
)
@pytest.mark.parametrize("config", [None, [], {}, {"model": None}, {"model": {"decoder": []}}])
def test_a_configuration_that_is_silent_leaves_the_target_to_the_name(
    config: Any, folder: str, target: str
) -> None:
    """The innermost folder first; without any word it is the CPU, as for the runtime."""
    assert variant(folder, config).target == target


def test_a_configuration_that_cannot_be_read_is_an_incomplete_variant() -> None:
    """It does not affect other variants."""
    paths = {"cpu-int4/genai_config.json": b"{", "cuda-int4/genai_config.json": b"[" * 100_000}

    broken, nested = variants.parse("acme/tiny", dict.fromkeys(paths, 1), paths)

    assert (broken.target, broken.precision) == ("cpu", "int4")
    assert nested.target == "cuda"
    assert "a graph that it names" in broken.missing
    assert "a graph that it names" in nested.missing


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("cpu-int4-rtn-block-32-acc-level-4", ("int4", "rtn", 32, 4, None)),
        ("CPU_UINT4_K_QUANT_BLOCK128", ("int4", "k_quant", 128, None, None)),
        ("k-quant-mixed/int8", ("int8", "k_quant", None, None, None)),
        ("float16", ("fp16", None, None, None, None)),
        ("cuda/cuda-bf16", ("bf16", None, None, None, None)),
        ("gpu/gpu-fp16-io-int4-rtn-block-32", ("int4", "rtn", 32, None, None)),
        ("gpu_fp32_io_int4", ("int4", None, None, None, None)),
        ("fp16/cpu-int4", ("int4", None, None, None, None)),
        ("int4-fp16", (None, None, None, None, None)),
        ("int4-awq-rtn-block-16-block-32", ("int4", None, None, None, None)),
        ("cpu-int4-accuracy-level-1", ("int4", None, None, 1, None)),
        ("cpu-int4-acc-level-0", ("int4", None, None, 0, None)),
        ("cpuint4", (None, None, None, None, "cpuint4")),
        ("mint4-blocks-32", (None, None, None, None, "mint4-blocks-32")),
        ("Phi-4-mini_cpu-int4", ("int4", None, None, None, "Phi-4-mini")),
        ("ONNX/phi-4/onnxruntime/int4", ("int4", None, None, None, "phi-4")),
        ("phi-4/chat/cpu/int4", ("int4", None, None, None, "phi-4/chat")),
        ("", (None, None, None, None, None)),
    ],
)
def test_a_name_is_read_word_by_word(folder: str, told: tuple[Any, ...]) -> None:
    """Words between separators in any case; a part with two different words is ignored."""
    found = variant(folder)

    assert told == (
        found.precision,
        found.method,
        found.block_size,
        found.accuracy_level,
        found.model,
    )


def test_names_are_read_from_the_innermost_outwards() -> None:
    """The folder, its parents, the graph, the repository."""
    graph = {"model": {"decoder": {"filename": "tiny-int8.onnx"}}}
    repo = "acme-int4/tiny-fp32-onnx"

    assert variant("fp16/plain", graph, repo).precision == "fp16"
    assert variant("plain", graph, repo).precision == "int8"
    assert variant("plain", None, repo).precision == "fp32"
    assert variant("plain", None, "acme/int8-tiny").precision == "int8"
    assert variant("plain", None, "acme-int4/tiny").precision is None
