"""Which files of a repository belong to a published artifact."""

from collections.abc import Iterable
from typing import Any

import pytest

from slipway.sources import variants
from slipway.sources.variants import VariantFiles

SMALL = {"genai_config.json", "tokenizer.json", "tokenizer_config.json"}
ONE_GRAPH = {"model": {"decoder": {"filename": "model.onnx"}}}


def taken(names: Iterable[str], config: Any = ONE_GRAPH) -> set[str]:
    """Return what is taken of ``names`` beyond the files that every artifact has."""
    paths = {f"cpu/{name}" for name in SMALL | set(names)}
    files = variants.files("cpu", config, paths)
    return {path.removeprefix("cpu/") for path in files.paths} - SMALL


@pytest.mark.parametrize(
    ("beside", "data"),
    [
        pytest.param({"model.onnx.data"}, {"model.onnx.data"}, id="as the builder writes it"),
        pytest.param({"weights.data"}, {"weights.data"}, id="under a name of its own"),
        pytest.param(
            {"fp16.onnx", "fp16.onnx.data", "fp16.onnx_data_1"}, set(), id="of another graph"
        ),
        pytest.param({"model.data.txt", "data", "model.bin"}, set(), id="something else"),
        pytest.param({"other/weights.data"}, set(), id="in another folder"),
    ],
)
def test_weights_beside_the_graph_come_with_it(beside: set[str], data: set[str]) -> None:
    """By name, since the graph itself is not read; those of a graph that is not named stay."""
    assert taken({"model.onnx", *beside}) == {"model.onnx", *data}


def test_every_graph_that_the_configuration_names_is_taken() -> None:
    """With weights and processors, wherever in the configuration it is named."""
    config = {
        "model": {
            "decoder": {"pipeline": [{"first": {"filename": "a.onnx"}}]},
            "embedding": {"filename": "embedding.onnx"},
            "vision": {"filename": "vision.onnx", "config_filename": "pictures.json"},
            "speech": {"filename": "speech.onnx"},
        }
    }
    named = {"a.onnx", "embedding.onnx", "vision.onnx", "speech.onnx"}
    others = {"model.onnx", "other.json"}

    found = taken({*named, *others, "pictures.json", "vision.onnx.data"}, config)

    assert found == {*named, "pictures.json", "vision.onnx.data"}


@pytest.mark.parametrize(
    "data", [{"model.onnx_data"}, {"model.onnx_data", "model.onnx_data_1", "model.onnx_data_12"}]
)
def test_weights_of_a_kind_that_is_not_allowed_are_reported_beforehand(
    data: set[str],
) -> None:
    """As optimum writes them: they belong to the graph, and would be refused after a download."""
    paths = {f"cpu/{name}" for name in {*SMALL, "model.onnx", *data}}

    files = variants.files("cpu", ONE_GRAPH, paths)

    assert files.missing == tuple(sorted(data))
    assert set(files.paths) == {f"cpu/{name}" for name in {*SMALL, "model.onnx"}}


def test_the_small_files_are_a_list_and_code_is_not_on_it() -> None:
    """Tokenizer, template, processors, license; and no pickle, library or script."""
    small = {
        "LICENSE",
        "LICENSE.md",
        "NOTICE.txt",
        "README.md",
        "added_tokens.json",
        "chat_template.jinja",
        "config.json",
        "merges.txt",
        "preprocessor_config.json",
        "processor_config.json",
        "special_tokens_map.json",
        "speech_processor.json",
        "tokenizer.model",
        "vision_processor.json",
        "vocab.json",
        "vocab.txt",
    }
    others = {
        "LICENSE.py",
        "README.exe",
        "config.py",
        "configuration_phi3.py",
        "custom_ops.so",
        "generation_config.json",
        "model.pkl",
        "processor.py",
        "pytorch_model.bin",
        "tokenizer.py",
        "sub/vision_processor.json",
    }

    assert taken({"model.onnx", *small, *others}) == {"model.onnx", *small}


def test_the_repositorys_licence_goes_with_a_folder_that_has_none() -> None:
    """The folder's own is not replaced by it; nothing else of the root is taken."""
    root = {"LICENSE", "README.md", "config.json", "tokenizer.json", "model.onnx.data"}
    folder = {f"cpu/{name}" for name in {*SMALL, "model.onnx", "README.md"}}

    files = variants.files("cpu", ONE_GRAPH, root | folder)

    assert files == VariantFiles(paths=tuple(sorted({"LICENSE", *folder})), missing=())


def test_the_root_can_be_an_artifact_and_takes_nothing_from_folders() -> None:
    """Its folders may be artifacts of their own."""
    below = {f"gpu/{name}" for name in {*SMALL, "model.onnx", "vision_processor.json"}}
    root = {*SMALL, "model.onnx", "README.md"}

    files = variants.files("", ONE_GRAPH, root | below)

    assert files == VariantFiles(paths=tuple(sorted(root)), missing=())


@pytest.mark.parametrize(
    ("config", "lost", "missing"),
    [
        pytest.param(ONE_GRAPH, "model.onnx", ("model.onnx",), id="the graph"),
        pytest.param(ONE_GRAPH, "tokenizer.json", ("tokenizer.json",), id="half a tokenizer"),
        pytest.param(ONE_GRAPH, "tokenizer_config.json", ("tokenizer_config.json",), id="other"),
        pytest.param({}, "", ("a graph that it names",), id="no graph is named"),
        pytest.param(None, "", ("a graph that it names",), id="nothing is said"),
        pytest.param(
            {"model": {"decoder": {"filename": 7}}}, "", ("a graph that it names",), id="a number"
        ),
        pytest.param(
            {"model": {"decoder": {"filename": "tokenizer.json"}}},
            "",
            ("a graph that it names",),
            id="no graph at all",
        ),
        pytest.param(
            {"model": {"decoder": {"filename": "code.py"}}},
            "",
            ("a graph that it names", "code.py"),
            id="code",
        ),
        pytest.param(
            {"model": ONE_GRAPH["model"] | {"vision": {"filename": "../gpu/model.onnx"}}},
            "",
            ("../gpu/model.onnx",),
            id="outside of its folder",
        ),
        pytest.param(
            {"model": ONE_GRAPH["model"] | {"vision": {"filename": "vision/model.onnx"}}},
            "",
            ("vision/model.onnx",),
            id="in a folder below",
        ),
        pytest.param(
            {"model": ONE_GRAPH["model"] | {"vision": {"adapter_filename": "a.onnx_adapter"}}},
            "",
            ("a.onnx_adapter",),
            id="an adapter",
        ),
        pytest.param(
            {"model": ONE_GRAPH["model"] | {"vision": {"filename": ".hidden.onnx"}}},
            "",
            (".hidden.onnx",),
            id="a hidden file",
        ),
    ],
)
def test_what_an_artifact_lacks_is_named(config: Any, lost: str, missing: tuple[str, ...]) -> None:
    """Listed elsewhere does not count, and a file of a kind that is not allowed is missing."""
    others = {"code.py", "vision/model.onnx", "a.onnx_adapter", ".hidden.onnx"}
    names = {*SMALL, "model.onnx", *others} - {lost}
    paths = {f"cpu/{name}" for name in names} | {"model.onnx", "tokenizer.json", "gpu/model.onnx"}

    files = variants.files("cpu", config, paths)

    assert files.missing == missing
    assert set(files.paths) <= {f"cpu/{name}" for name in {*SMALL, "model.onnx"} - {lost}}


def test_a_folder_is_an_artifact_by_its_configuration() -> None:
    """At any depth, and only by the whole name."""
    paths = (
        "onnx/model.onnx",
        "b/genai_config.json",
        "genai_config.json",
        "a/my_genai_config.json",
    )

    assert variants.config_paths(paths) == ("b/genai_config.json", "genai_config.json")
