"""A checkpoint's facts come from its files; what is refused is in tests/faults."""

import json
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import ArchitectureUnsupported
from slipway.validation import folders
from tests.support.malformed import index, safetensors, write_checkpoint

TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a checkpoint of two numbers that breaks no rule."""
    write_checkpoint(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_a_real_checkpoint_has_the_parameters_that_torch_counts(checkpoint: Path) -> None:
    """The count comes from headers alone, and is that of the model that is loaded."""
    from transformers import AutoModelForCausalLM

    facts = folders.check_checkpoint(checkpoint)

    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    assert facts.architecture == type(model).__name__ == "Phi3ForCausalLM"
    assert facts.parameters == sum(tensor.numel() for tensor in model.parameters())


def test_tensors_of_several_files_are_counted_together(folder: Path) -> None:
    """A large checkpoint comes in shards; metadata is no tensor, and one without numbers is."""
    empty = {"dtype": "BF16", "shape": [0, 7], "data_offsets": [0, 0]}
    scalar = {"dtype": "F64", "shape": [], "data_offsets": [8, 16]}
    header = {"__metadata__": {"format": "pt"}, "c": scalar, "b": TENSOR, "a": empty}
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    safetensors("model-2.safetensors", header, bytes(16))(folder)
    places = dict.fromkeys("abc", "model-2.safetensors") | {"weight": "model-1.safetensors"}
    index("model.safetensors.index.json", places)(folder)

    assert folders.check_checkpoint(folder).parameters == 2 + 2 + 1


@pytest.mark.parametrize("config", [{}, {"architectures": []}, {"architectures": None}])
def test_an_architecture_may_be_missing_until_something_is_built(
    folder: Path, config: dict[str, Any]
) -> None:
    """A published artifact needs no architecture; a build refuses what is not named."""
    (folder / "config.json").write_text(json.dumps(config))

    facts = folders.check_checkpoint(folder)

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
