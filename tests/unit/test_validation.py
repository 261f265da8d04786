"""A checkpoint is allowed only if every file is what its name says."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import ArchitectureUnsupported, SourceRefused
from slipway.validation import folders, names

TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
NO_LIST, GAPS, SHAPE = "invalid JSON in header", "invalid offset for tensor", "invalid shape"
UNCOVERED = "incomplete metadata, file not fully covered"


def safetensors(path: Path, header: object, data: bytes = bytes(8)) -> Path:
    """Write a safetensors file with this header, be it true or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a checkpoint of two numbers that breaks no rule."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["Phi3ForCausalLM"]}')
    for name in ("tokenizer.json", "tokenizer_config.json", "LICENSE", "NOTICE"):
        (folder / name).write_text("{}")
    safetensors(folder / "model.safetensors", {"weight": TENSOR})
    return folder


def refusal(folder: Path) -> SourceRefused:
    """Return why ``folder`` is refused."""
    with pytest.raises(SourceRefused) as caught:
        folders.inspect_checkpoint(folder)
    return caught.value


def test_a_real_checkpoint_has_the_parameters_that_torch_counts(checkpoint: Path) -> None:
    """The count comes from headers alone, and is that of the model that is loaded."""
    from transformers import AutoModelForCausalLM

    facts = folders.inspect_checkpoint(checkpoint)

    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    assert facts.architecture == type(model).__name__ == "Phi3ForCausalLM"
    assert facts.parameters == sum(tensor.numel() for tensor in model.parameters())


def test_tensors_of_several_files_are_counted_together(folder: Path) -> None:
    """A large checkpoint comes in shards; metadata is no tensor, and one without numbers is."""
    empty = {"dtype": "BF16", "shape": [0, 7], "data_offsets": [0, 0]}
    scalar = {"dtype": "F64", "shape": [], "data_offsets": [8, 16]}
    header = {"__metadata__": {"format": "pt"}, "c": scalar, "b": TENSOR, "a": empty}
    safetensors(folder / "model-2.safetensors", header, bytes(16))

    assert folders.inspect_checkpoint(folder).parameters == 2 + 2 + 1


@pytest.mark.parametrize("config", [{}, {"architectures": []}, {"architectures": None}])
def test_an_architecture_may_be_missing_until_something_is_built(
    folder: Path, config: dict[str, Any]
) -> None:
    """A published artifact needs no architecture; a build refuses what is not named."""
    (folder / "config.json").write_text(json.dumps(config))

    facts = folders.inspect_checkpoint(folder)

    assert facts.architecture == "not named"
    with pytest.raises(ArchitectureUnsupported):
        folders.require_supported(facts.architecture)


def test_an_architecture_that_was_never_compared_is_not_built() -> None:
    """The text names those that were."""
    folders.require_supported("Phi3ForCausalLM")

    with pytest.raises(ArchitectureUnsupported) as caught:
        folders.require_supported("GPT2LMHeadModel")

    assert caught.value.supported == folders.SUPPORTED
    assert "architecture GPT2LMHeadModel cannot be quantized here" in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin",
        "optimizer.pt",
        "model.pkl",
        "model.safetensors.exe",
        "deeper/weights.ckpt",
        "model.gguf",
        "lib.so",
    ],
)
def test_a_file_of_another_format_is_refused(folder: Path, name: str) -> None:
    """Formats are an allow-list; a pickle could run code when it is read."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps({"weight": [0.0]}))

    error = refusal(folder)

    assert error.file == name
    assert error.rule == f"only {', '.join(names.SUFFIXES)} and license texts are allowed"


def test_a_pickle_under_another_name_is_refused_as_well(folder: Path) -> None:
    """What counts is what is in the file."""
    (folder / "model.safetensors").write_bytes(pickle.dumps({"weight": [0.0] * 99}))

    assert refusal(folder).rule.startswith("not a whole safetensors file")


@pytest.mark.parametrize("name", ["modeling_tiny.py", "deeper/README.py"])
def test_code_is_refused_in_every_folder(folder: Path, name: str) -> None:
    """Also under a name that begins like a license text."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("print('hello')")

    error = refusal(folder)

    assert (error.file, error.rule) == (name, "code is never run or shipped")


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        pytest.param('{"auto_map": {}}', "auto_map asks to run code of the source", id="auto_map"),
        pytest.param("[]", "not a JSON object", id="list"),
        pytest.param("{", "not JSON: Expecting property name", id="cut short"),
        pytest.param("[" * 100_000, "not JSON: maximum recursion depth", id="nested without end"),
        pytest.param("\udcff", "not UTF-8: invalid start byte", id="bytes that are no text"),
    ],
)
def test_a_configuration_that_cannot_be_trusted_is_refused(
    folder: Path, config: str, rule: str
) -> None:
    """Neither one that points to code nor one that is no configuration."""
    (folder / "config.json").write_text(config, errors="surrogateescape")

    error = refusal(folder)

    assert error.file == "config.json"
    assert error.rule.startswith(rule)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("config.json", "it is missing"),
        ("tokenizer.json", "a checkpoint needs it, and it is missing"),
        ("tokenizer_config.json", "a checkpoint needs it, and it is missing"),
    ],
)
def test_a_missing_file_is_named(folder: Path, name: str, rule: str) -> None:
    """A model without its tokenizer would fail much later, and less clearly."""
    (folder / name).unlink()

    error = refusal(folder)

    assert (error.file, error.rule) == (name, rule)


def test_missing_weights_are_named(folder: Path) -> None:
    """Such as of a repository that has them in another format only."""
    (folder / "model.safetensors").unlink()

    assert str(refusal(folder)) == ("*.safetensors: there are no weights; save them as safetensors")


@pytest.mark.parametrize("target", ["config.json", "/etc/passwd", "nowhere", "."])
def test_a_link_is_refused_wherever_it_points(folder: Path, target: str) -> None:
    """A link could bring in a file, or a folder, from outside of the checkpoint."""
    (folder / "NOTICE.txt").symlink_to(target)

    error = refusal(folder)

    assert (error.file, error.rule) == ("NOTICE.txt", "links are not allowed")


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        pytest.param(b"{", NO_LIST, id="not JSON"),
        pytest.param([TENSOR], NO_LIST, id="a list"),
        pytest.param({"a": None}, NO_LIST, id="no tensor"),
        pytest.param({"a": TENSOR | {"dtype": "F3"}}, NO_LIST, id="unknown type"),
        pytest.param({"a": {"dtype": "F32", "shape": [2]}}, NO_LIST, id="no offsets"),
        pytest.param({"a": TENSOR | {"data_offsets": [0]}}, NO_LIST, id="one offset"),
        pytest.param({"a": TENSOR | {"data_offsets": [0, "x"]}}, NO_LIST, id="offset of letters"),
        pytest.param({"a": TENSOR | {"shape": None}}, NO_LIST, id="no shape"),
        pytest.param({"a": TENSOR | {"shape": [1e999]}}, NO_LIST, id="endless shape"),
        pytest.param(b"[" * 100_000, NO_LIST, id="nested without end"),
        pytest.param({"a": TENSOR | {"shape": [3]}}, SHAPE, id="shape larger than its span"),
        pytest.param({"a": TENSOR | {"data_offsets": [1, 9]}}, GAPS, id="gap before the first"),
        pytest.param({"a": TENSOR, "b": TENSOR}, GAPS, id="overlap"),
        pytest.param(
            {"a": TENSOR, "b": TENSOR | {"data_offsets": [9, 17]}}, GAPS, id="gap between two"
        ),
        pytest.param({}, UNCOVERED, id="bytes that nobody claims"),
        pytest.param(
            {"a": TENSOR, "b": TENSOR | {"data_offsets": [8, 16]}},
            UNCOVERED,
            id="longer than the file",
        ),
    ],
)
def test_a_wrong_header_is_refused(folder: Path, header: object, rule: str) -> None:
    """The header is compared with the file before anything loads it."""
    safetensors(folder / "model.safetensors", header)

    error = refusal(folder)

    assert error.file == "model.safetensors"
    assert error.rule.startswith(f"not a whole safetensors file: {rule}")


def truncated(path: Path, size_bytes: int) -> None:
    """Keep the first bytes of a file."""
    path.write_bytes(path.read_bytes()[:size_bytes])


def announced(path: Path, header_bytes: int) -> None:
    """Change the length of the header in a safetensors file."""
    path.write_bytes(struct.pack("<Q", header_bytes) + path.read_bytes()[8:])


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lambda path: truncated(path, 0), "header too small"),
        (lambda path: truncated(path, 7), "header too small"),
        (lambda path: truncated(path, 20), "invalid header length"),
        (lambda path: truncated(path, path.stat().st_size - 1), UNCOVERED),
        (lambda path: announced(path, 1 << 62), "header too large"),
        (lambda path: announced(path, 3), NO_LIST),
    ],
    ids=["empty", "no length", "cut header", "cut by a byte", "endless header", "short header"],
)
def test_weights_that_were_cut_short_are_refused(
    checkpoint: Path, tmp_path: Path, damage: Callable[[Path], None], rule: str
) -> None:
    """A download that ended early is found by the header, wherever it ended."""
    folder = tmp_path / "cut"
    shutil.copytree(checkpoint, folder)
    damage(folder / "model.safetensors")

    assert refusal(folder).rule.startswith(f"not a whole safetensors file: {rule}")
