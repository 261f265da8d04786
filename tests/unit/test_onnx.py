"""The builder makes of a checkpoint what its recipe says, and tells how far it is."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.build import onnx
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.values import Quantization

INT8 = Quantization(precision="int8")
K_QUANT = Quantization(precision="int4", method="k_quant")
MIXED = Quantization(precision="int4", mixed=("mixed_layers",), embeddings="tied")
ASYMMETRIC = Quantization(precision="int4", block_size=16, accuracy_level=1, symmetric=False)


class Built:
    """One build, with its progress and its cost.

    Attributes:
        folder: The artifact.
        reports: Its progress.
        outcome: What it cost.
    """

    def __init__(self, weights: Path, folder: Path, quantization: Quantization) -> None:
        self.folder = folder
        self.reports: list[tuple[float | None, str]] = []
        request = onnx.BuildRequest(weights=weights, into=folder, quantization=quantization)
        limits = ProcessLimits(
            timeout_seconds=300, memory_bytes=None, logs=folder.parents[1] / "logs"
        )
        self.outcome = call(
            onnx.build,
            request,
            limits,
            step="build",
            progress=lambda *report: self.reports.append(report),
        )

    def products(self) -> list[dict[str, Any]]:
        """Return the attributes of every quantized matrix product of the graph."""
        import onnx as library

        graph = library.load(self.folder / "model.onnx", load_external_data=False).graph
        return [
            {each.name: library.helper.get_attribute_value(each) for each in node.attribute}
            | {"has_offsets": len(node.input) > 3 and bool(node.input[3])}
            for node in graph.node
            if node.op_type == "MatMulNBits"
        ]


Build = Callable[[Quantization], Built]


@pytest.fixture(scope="session")
def build(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return a function that builds the tiny model, each recipe once a session."""
    done: dict[Quantization, Built] = {}

    def build_once(quantization: Quantization) -> Built:
        if quantization not in done:
            folder = tmp_path_factory.mktemp("staging") / "model"
            folder.mkdir()
            done[quantization] = Built(checkpoint, folder, quantization)
        return done[quantization]

    return build_once


@pytest.mark.parametrize(
    ("quantization", "bits", "offsets"),
    [
        pytest.param(INT8, 8, False, id="int8"),
        pytest.param(ASYMMETRIC, 4, True, id="int4 with offsets"),
        pytest.param(K_QUANT, 4, True, id="k_quant, which always has offsets"),
    ],
)
def test_the_graph_holds_what_the_recipe_says(
    build: Build, quantization: Quantization, bits: int, offsets: bool
) -> None:
    """Read from the graph, since the builder ignores in silence what it does not know."""
    products = build(quantization).products()

    assert Counter(product["bits"] for product in products)[bits] >= 4
    assert {product["block_size"] for product in products} == {quantization.block_size}
    assert {product["has_offsets"] for product in products} == {offsets}


def test_the_accuracy_level_of_the_recipe_is_in_the_graph(build: Build) -> None:
    """It says in which type products are computed, so it shapes speed and answers."""
    assert {product["accuracy_level"] for product in build(ASYMMETRIC).products()} == {1}


def test_an_artifact_is_one_folder_that_needs_nothing_else(build: Build) -> None:
    """Graph, weights, configuration, tokenizer; the builder's own working files are gone."""
    folder = build(INT8).folder

    names = {path.name for path in folder.iterdir()}
    needed = {"genai_config.json", "model.onnx", "model.onnx.data", "tokenizer.json"}
    assert needed <= names
    assert not [path for path in folder.rglob("*") if path.is_symlink() or path.is_dir()]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_an_artifact_bounds_its_own_search(build: Build, checkpoint: Path) -> None:
    """The runtime allocates for the longest answer at once: never more than the context."""
    config = json.loads((build(INT8).folder / "genai_config.json").read_bytes())

    context_length = json.loads((checkpoint / "config.json").read_bytes())[
        "max_position_embeddings"
    ]
    assert config["search"]["max_length"] == config["model"]["context_length"] == context_length


def test_an_artifact_loads_and_answers(build: Build) -> None:
    """The runtime takes it as it is; in 8 bits, the tiny model still knows its lines."""
    import onnxruntime_genai as og

    model = og.Model(str(build(INT8).folder))
    tokenizer = og.Tokenizer(model)
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=64, do_sample=False)
    generator = og.Generator(model, parameters)
    generator.append_tokens(
        tokenizer.encode("<|user|>\nWhat is the capital of Spain?<|end|>\n<|assistant|>\n")
    )
    tokens = []
    while not generator.is_done():
        generator.generate_next_token()
        tokens.append(generator.get_next_tokens()[0])

    assert tokenizer.decode(tokens) == "The capital of Spain is Madrid."


def test_the_builders_lines_become_progress(build: Build) -> None:
    """Layer by layer, and then the graph; never backwards, never done too early."""
    reports = build(INT8).reports

    assert reports == [
        (0.4, "layer 1/2"),
        (pytest.approx(0.7), "layer 2/2"),
        (0.8, "quantizing and saving the graph"),
    ]


def test_a_build_is_measured(build: Build) -> None:
    """Time and memory are the child's, which holds more than the 100 MB of torch alone."""
    outcome = build(INT8).outcome

    assert outcome.seconds > 0
    assert outcome.peak_memory_bytes > 100_000_000


@pytest.mark.parametrize(("config", "count"), [({"num_hidden_layers": 28}, 28), ({}, 1)])
def test_the_layers_of_a_checkpoint_are_read(
    tmp_path: Path, config: dict[str, int], count: int
) -> None:
    """A configuration that does not say makes progress coarse, and nothing else."""
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert onnx.layers(tmp_path) == count


@pytest.mark.parametrize(
    ("quantization", "name"),
    [
        (Quantization(precision="fp32"), "cpu-fp32"),
        (INT8, "cpu-int8-rtn-block-32"),
        (K_QUANT, "cpu-int4-k_quant-block-32"),
        (ASYMMETRIC, "cpu-int4-rtn-block-16-acc-level-1-asymmetric"),
        (MIXED, "cpu-int4-rtn-block-32-int8_mixed_layers-tied-embeddings"),
    ],
)
def test_a_variants_name_tells_how_it_was_made(quantization: Quantization, name: str) -> None:
    """In the words of published folders."""
    assert quantization.variant == name
