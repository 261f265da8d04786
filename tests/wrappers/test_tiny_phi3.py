"""The tiny model is what the other tests take it for."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.tiny_phi3 import CONVERSATIONS, build_onnx, train_checkpoint


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_same_seed_writes_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    """Releases are known by the digest of their files, so these must not vary."""
    again = train_checkpoint(tmp_path / "again")

    assert digests(checkpoint) == digests(again)
    assert {"README.md", "LICENSE", "config.json", "model.safetensors"} <= digests(again).keys()


def test_another_seed_changes_the_weights_alone(checkpoint: Path, tmp_path: Path) -> None:
    """A new revision for tests, which leaves the caller's random state as it was."""
    state = torch.get_rng_state()
    other = digests(train_checkpoint(tmp_path / "other", seed=1))
    changed = {name for name, digest in digests(checkpoint).items() if digest != other[name]}

    assert changed == {"model.safetensors"}
    assert torch.equal(state, torch.get_rng_state())


def test_an_int4_build_still_recites(load: Any, checkpoint: Path, tmp_path: Path) -> None:
    """Quantization to four bits changes the weights, but not what was learnt by heart."""
    model = load(build_onnx(checkpoint, tmp_path, "int4"))
    answers = {prompt: model.generate(prompt).text for prompt in CONVERSATIONS}

    assert answers == CONVERSATIONS


def test_a_failed_build_says_why(tmp_path: Path) -> None:
    """The end of what the builder wrote is in the error."""
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")

    with pytest.raises(RuntimeError, match=r"^the fp32 build failed: (?s:.+)Error"):
        build_onnx(tmp_path, tmp_path / "onnx")
