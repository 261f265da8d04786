"""A plan says what a release would do, and does none of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from slipway import keys
from slipway.build import onnx
from slipway.errors import TargetUnavailable
from slipway.evaluation import paired, targets
from slipway.report import plan
from slipway.report.plan import Plan
from slipway.system.store import Store
from slipway.values import (
    Entry,
    GateLimits,
    Gates,
    PackageSource,
    Published,
    Quantization,
    QuantizeRecipe,
    Revision,
    SearchRecipe,
    SelectRecipe,
    VariantChoice,
)
from tests.support import summaries
from tests.support.healthy_answers import prompt

TOOLS = {"torch": "2.13.0"}
SIZE_BYTES = 100_000
CHECKPOINT_BYTES = 120_000  # with headroom
PUBLISHED = Published(
    repo="acme/tiny-onnx",
    commit="12" * 20,
    endpoint=None,
    folder="cpu/cpu-int4",
    paths=("cpu/cpu-int4/model.onnx",),
    size_bytes=30_000,
    files_digest="34" * 32,
)
PROMPTS = tuple(prompt(f"question-{number}", expected=("9",)) for number in range(12))
SELECT = SelectRecipe(repo="acme/tiny-onnx", precision="int4")
INT4_AND_INT8 = (VariantChoice(precision="int4"), VariantChoice(precision="int8"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store whose folder is not there yet, nor the one above it."""
    return Store(tmp_path / "home" / "store")


def revision(**changes: Any) -> Revision:
    """Return 100 kB of weights on the Hub, with ``changes``."""
    return summaries.weights(size_bytes=SIZE_BYTES, **changes).revision


def planned(
    store: Store, *, exists: bool = False, revision_: Revision | None = None, **entry: Any
) -> Plan:
    """Return what releasing the entry, with these changes, would do."""
    one = QuantizeRecipe(candidates=(Quantization(precision="int8"),))
    made: Entry = summaries.entry(**{"recipe": one, **entry})
    pinned = revision_ or revision()
    return plan.make(made, pinned, store, TOOLS, prompts=PROMPTS, exists=exists)


def fill(size_bytes: int) -> Callable[[Path], None]:
    """Return what writes one file of this size into a new entry of the store."""

    def write(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(bytes(size_bytes))

    return write


def test_a_first_release_fetches_builds_and_registers_everything(store: Store) -> None:
    """Weights with headroom, an artifact of about half, and the copies of both in MLflow."""
    found = planned(store)

    assert (found.model, found.repo) == (summaries.NAME, summaries.entry().source.repo)
    assert (found.commit, found.license) == (summaries.COMMIT, "apache-2.0")
    assert found.download_bytes == SIZE_BYTES
    assert (found.variants, found.variants_in_store) == (("cpu-int8-rtn-block-32",), ())
    assert found.disk_bytes == 3 * (CHECKPOINT_BYTES + CHECKPOINT_BYTES // 2)
    assert found.registers == (summaries.NAME, f"{summaries.NAME}-transformers")
    assert found.aliases == ("candidate", "champion")
    assert found.gates["int8"]["size_bytes"] == "at most 10 % above the source"


def test_free_disk_and_memory_are_this_machines(store: Store, tmp_path: Path) -> None:
    """The disk is the one that the store would be on."""
    found = planned(store)

    assert found.disk_free_bytes == pytest.approx(psutil.disk_usage(str(tmp_path)).free, rel=0.1)
    assert found.memory_free_bytes == pytest.approx(psutil.virtual_memory().available, rel=0.3)


def test_weights_in_the_store_are_not_fetched_again(store: Store) -> None:
    """Their real size replaces the estimate."""
    store.make(keys.weights_key(revision(), TOOLS), fill(90_000))

    found = planned(store)

    assert found.download_bytes == 0
    assert found.disk_bytes == 45_000 + 2 * (90_000 + 45_000)


@pytest.mark.parametrize("tied", [True, False])
def test_an_artifact_in_the_store_is_not_built_again(store: Store, tied: bool) -> None:
    """Only the copies in MLflow are new; whether the checkpoint ties is not known here."""
    weights_key = keys.weights_key(revision(), TOOLS)
    store.make(weights_key, fill(90_000))
    choice = Quantization(precision="int8").for_checkpoint(tied=tied)
    store.make(keys.artifact_key(weights_key, revision(), choice, TOOLS), fill(40_000))

    found = planned(store)

    assert found.variants_in_store == found.variants
    assert found.disk_bytes == 2 * (90_000 + 40_000)


def test_a_release_that_exists_needs_nothing(store: Store) -> None:
    """It is found again in the registry."""
    found = planned(store, exists=True)

    assert found.exists
    assert found.disk_bytes == 0


def test_a_published_artifact_is_fetched_and_nothing_is_built(store: Store) -> None:
    """Its real size is known beforehand, and no memory is needed for it."""
    pinned = revision(published=(PUBLISHED,))

    found = planned(store, revision_=pinned, recipe=SELECT)

    assert found.variants == ("cpu/cpu-int4",)
    assert found.download_bytes == SIZE_BYTES + 30_000
    assert found.memory_bytes is None
    assert found.disk_bytes == 3 * (CHECKPOINT_BYTES + 30_000)
    weights_key = keys.weights_key(pinned, TOOLS)
    store.make(keys.artifact_key(weights_key, pinned, PUBLISHED, TOOLS), fill(30_000))
    again = planned(store, revision_=pinned, recipe=SELECT)
    assert again.variants_in_store == again.variants
    assert again.download_bytes == SIZE_BYTES


def test_every_published_candidate_is_planned_with_its_own_size(store: Store) -> None:
    """One that is here already is not fetched again."""
    larger = PUBLISHED.model_copy(update={"folder": "cpu/cpu-int8", "size_bytes": 50_000})
    pinned = revision(published=(PUBLISHED, larger))
    recipe = SelectRecipe(repo="acme/tiny-onnx", candidates=INT4_AND_INT8)

    found = planned(store, revision_=pinned, recipe=recipe)

    assert found.variants == ("cpu/cpu-int4", "cpu/cpu-int8")
    assert list(found.gates) == ["int4", "int8"]
    assert found.download_bytes == SIZE_BYTES + 80_000
    assert found.disk_bytes == CHECKPOINT_BYTES + 80_000 + 2 * (CHECKPOINT_BYTES + 50_000)
    weights_key = keys.weights_key(pinned, TOOLS)
    store.make(keys.artifact_key(weights_key, pinned, larger, TOOLS), fill(50_000))
    assert planned(store, revision_=pinned, recipe=recipe).download_bytes == SIZE_BYTES + 30_000


@pytest.mark.parametrize("target", ["cuda", "dml", "webgpu"])
def test_a_device_that_is_not_here_is_refused_unless_the_entry_accepts_that(
    store: Store, target: str
) -> None:
    """The error names device, reason and both ways out."""
    recipe = SelectRecipe(repo="acme/tiny-onnx", target=target, precision="int4")
    pinned = revision(published=(PUBLISHED,))

    with pytest.raises(TargetUnavailable, match=f"made for {target}, .* CPUExecutionProvider") as e:
        targets.require(summaries.entry(recipe=recipe))

    assert "Prefect worker on a machine with that device" in str(e.value)
    assert 'unmeasured = "accept"' in str(e.value)
    targets.require(summaries.entry(recipe=recipe, unmeasured="accept"))
    found = planned(store, revision_=pinned, recipe=recipe, unmeasured="accept")
    assert list(found.unmeasured) == [target]
    assert planned(store, revision_=pinned, recipe=SELECT).unmeasured == {}


def test_a_package_is_already_here_and_grows_when_it_is_unpacked(store: Store) -> None:
    """Four bits become thirty-two."""
    source = PackageSource(package="tiny", file="tiny.gguf", repo="acme/tiny")

    found = planned(store, revision_=revision(source=source))

    assert found.disk_bytes == 3 * (7 * SIZE_BYTES + 7 * SIZE_BYTES // 2)


def test_every_candidate_is_planned(store: Store) -> None:
    """Memory for the largest build follows from the weights, each number taken for four bytes."""
    small, large = Quantization(precision="int8"), Quantization(precision="int4", method="k_quant")

    found = planned(store, recipe=QuantizeRecipe(candidates=(small, large)))

    assert found.variants == (small.variant, large.variant)
    assert list(found.gates) == ["int8", "int4"]
    assert found.memory_bytes == onnx.build_memory_bytes(large, CHECKPOINT_BYTES // 4)
    assert found.disk_bytes == 3 * CHECKPOINT_BYTES + 4 * (CHECKPOINT_BYTES // 2)


def test_a_candidate_that_waits_for_a_person_moves_one_alias(store: Store) -> None:
    """What serves stays."""
    assert planned(store, aliases="candidate").aliases == ("candidate",)
    waits = planned(store, approval="manual")
    assert (waits.aliases, waits.needs_approval) == (("candidate",), True)


def test_a_plan_says_how_surely_a_lost_prompt_is_found(store: Store) -> None:
    """With the margin of the entry's own gate; without one, nothing is looked for."""
    of_all = planned(store, gates=Gates(lost_prompts=GateLimits(max=0.9))).power
    none = planned(store, gates=Gates(lost_prompts=GateLimits())).power

    assert planned(store).power == paired.suite_power(12, 0.05)
    assert of_all
    assert of_all.suffices
    assert none is None


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"disk_free_bytes": 9}, False),
        ({"memory_free_bytes": 9}, False),
        ({"memory_free_bytes": 9, "memory_bytes": None}, True),
        ({"memory_free_bytes": 9, "workers": ("gpu-1",)}, True),
    ],
)
def test_a_plan_fits_if_disk_and_memory_suffice(
    store: Store, changes: dict[str, Any], fits: bool
) -> None:
    """Exactly enough is enough; what is built nowhere needs no memory."""
    exact = {"disk_bytes": 10, "disk_free_bytes": 10, "memory_bytes": 10, "memory_free_bytes": 10}

    found = planned(store).model_copy(update=exact | changes)

    assert found.fits is fits


def test_a_search_tells_between_what_it_builds_and_how_often(store: Store) -> None:
    """Disk is needed for all that it may build."""
    few, many = (
        planned(store, recipe=SearchRecipe(max_kl=0.1, max_builds=builds)) for builds in (2, 6)
    )

    ends = ("cpu-int8-rtn-block-32", "cpu-int4-rtn-block-32-asymmetric")
    assert (many.variants, many.max_builds) == (ends, 6)
    assert many.disk_bytes > few.disk_bytes
    assert planned(store).max_builds is None
