"""The record of a release is inside both of its logged models, and says what MLflow keeps."""

import json
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import ArtifactChanged
from slipway.system.store import manifest
from slipway.tracking import bill_of_materials, release_record
from slipway.tracking.seal import seal
from slipway.tracking.verified_copy import CopyRequest, fetch
from slipway.values import GateResult, LoggedWrapper, Rejected
from slipway.values.figures import Estimate
from tests.support.fake_registry import FakeRegistry

OWN = {release_record.FILE, bill_of_materials.FILE}


def kept(model: FakeRegistry, wrapper: LoggedWrapper) -> Path:
    """Return the folder in which MLflow keeps a wrapper."""
    return model.file(wrapper, "")


def record(model: FakeRegistry, wrapper: LoggedWrapper) -> Any:
    """Return the record inside a wrapper."""
    content = model.file(wrapper, release_record.FILE).read_bytes()
    return release_record.read(wrapper.name, content)


def test_both_logged_models_have_a_record_of_every_file(fake_registry: FakeRegistry) -> None:
    """Its subjects are the files that MLflow keeps, the bill of materials among them."""
    decided = fake_registry.sealed("one")

    for wrapper in decided.versions.wrappers:
        found = manifest(kept(fake_registry, wrapper))
        written = record(fake_registry, wrapper)
        assert written.files == tuple(each for each in found if each.path != release_record.FILE)
        assert (written.model, written.wrapper) == (wrapper.name, wrapper.kind)
        assert (written.key, written.verdict) == (decided.versions.key, decided.verdict)
        assert written.gates == decided.gates


def test_what_was_sealed_is_loaded_as_before(fake_registry: FakeRegistry) -> None:
    """The record is not copied, since no wrapper reads it."""
    wrapper = fake_registry.sealed("one").versions.onnx

    copies = fake_registry.registry.copies
    copy = fetch(CopyRequest(place=copies, name=wrapper.name, version=wrapper.version))

    assert OWN & {path.name for path in copy.folder.iterdir()} == set()


def test_an_interrupted_run_is_repeated(fake_registry: FakeRegistry) -> None:
    """The second record does not list the first one, and has the new verdict."""
    decided = fake_registry.sealed("one")
    rejected = Rejected(reasons=("it is too large",))

    seal(fake_registry.seal_request(decided.model_copy(update={"verdict": rejected})))

    written = record(fake_registry, decided.versions.onnx)
    assert written.verdict == rejected
    assert release_record.FILE not in {each.path for each in written.files}


@pytest.mark.parametrize("path", ["artifacts/model/model.onnx", "onnx_genai.py"])
def test_what_was_not_built_here_gets_no_record(fake_registry: FakeRegistry, path: str) -> None:
    """Neither wrapper has one if the first was changed since it was logged."""
    decided = fake_registry.summary("one")
    file = fake_registry.file(decided.versions.onnx, path)
    file.write_bytes(file.read_bytes() + b"\n")

    with pytest.raises(ArtifactChanged):
        seal(fake_registry.seal_request(decided))

    for wrapper in decided.versions.wrappers:
        assert OWN & {each.name for each in kept(fake_registry, wrapper).iterdir()} == set()


def test_bytes_that_only_the_tags_know_get_no_record(fake_registry: FakeRegistry) -> None:
    """Whoever may edit the tags cannot have other bytes recorded."""
    decided = fake_registry.summary("one")
    other = fake_registry.request("other").artifact.stored

    selection = decided.selection
    chosen = selection.chosen.evaluation.built
    built = chosen.model_copy(
        update={"artifact": selection.artifact.model_copy(update={"stored": other})}
    )
    evaluation = selection.chosen.evaluation.model_copy(update={"built": built})
    scored = selection.chosen.model_copy(update={"evaluation": evaluation})
    changed = selection.model_copy(update={"candidates": (scored,)})

    with pytest.raises(ArtifactChanged, match=r"artifacts/model/model.onnx"):
        seal(fake_registry.seal_request(decided.model_copy(update={"selection": changed})))


def test_a_figure_that_is_no_number_is_left_out(fake_registry: FakeRegistry) -> None:
    """JSON has no NaN, and a gate on one is inconclusive anyway."""
    nan = float("nan")
    gate = GateResult(
        metric="kl_mean",
        rule="at most 0.1",
        limit=nan,
        observed=Estimate(value=nan, low=0, high=1),
        state="inconclusive",
        severity="critical",
    )

    decided = fake_registry.sealed("one", gates=(gate,))

    content = fake_registry.file(decided.versions.onnx, release_record.FILE).read_bytes()
    (written,) = json.loads(content)["predicate"]["gates"]
    assert (written["limit"], written["observed"]) == (None, None)
