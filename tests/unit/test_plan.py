"""A plan says what a release would do, and does none of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from slipway import keys
from slipway.build import onnx
from slipway.report import plan
from slipway.report.plan import Plan
from slipway.system.store import Store
from slipway.values import (
    Entry,
    PackageSource,
    Published,
    Quantization,
    QuantizeRecipe,
    Revision,
    SelectRecipe,
)
from tests.support import summaries

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
)
SELECT = SelectRecipe(repo="acme/tiny-onnx", precision="int4")


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
    return plan.make(made, revision_ or revision(), store, TOOLS, exists=exists)


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
    assert found.disk_bytes == 2 * (CHECKPOINT_BYTES + CHECKPOINT_BYTES // 2)
    assert found.registers == (summaries.NAME, f"{summaries.NAME}-transformers")
    assert found.aliases == ("candidate", "champion")
    assert found.gates["int8"]["size_bytes"] == "at most 10 % above the source"


def test_a_plan_writes_nothing(store: Store) -> None:
    """Not even the store's folder."""
    planned(store)

    assert not store.root.parent.exists()


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
    assert found.disk_bytes == 45_000 + 90_000 + 45_000


def test_an_artifact_in_the_store_is_not_built_again(store: Store) -> None:
    """Only the copies in MLflow are new."""
    weights_key = keys.weights_key(revision(), TOOLS)
    store.make(weights_key, fill(90_000))
    choice = Quantization(precision="int8")
    store.make(keys.artifact_key(weights_key, revision(), choice, TOOLS), fill(40_000))

    found = planned(store)

    assert found.variants_in_store == found.variants
    assert found.disk_bytes == 90_000 + 40_000


def test_a_release_that_exists_needs_nothing(store: Store) -> None:
    """It is found again in the registry."""
    found = planned(store, exists=True)

    assert found.exists
    assert found.disk_bytes == 0


def test_a_published_artifact_is_fetched_and_nothing_is_built(store: Store) -> None:
    """Its real size is known beforehand, and no memory is needed for it."""
    pinned = revision(published=PUBLISHED)

    found = planned(store, revision_=pinned, recipe=SELECT)

    assert found.variants == ("cpu/cpu-int4",)
    assert found.download_bytes == SIZE_BYTES + 30_000
    assert found.memory_bytes is None
    assert found.disk_bytes == 2 * (CHECKPOINT_BYTES + 30_000)
    weights_key = keys.weights_key(pinned, TOOLS)
    store.make(keys.artifact_key(weights_key, pinned, None, TOOLS), fill(30_000))
    again = planned(store, revision_=pinned, recipe=SELECT)
    assert again.variants_in_store == again.variants
    assert again.download_bytes == SIZE_BYTES


def test_a_package_is_already_here_and_grows_when_it_is_unpacked(store: Store) -> None:
    """Four bits become thirty-two."""
    source = PackageSource(package="tiny", file="tiny.gguf", repo="acme/tiny")

    found = planned(store, revision_=revision(source=source))

    assert found.disk_bytes == 2 * (7 * SIZE_BYTES + 7 * SIZE_BYTES // 2)


def test_every_candidate_is_planned(store: Store) -> None:
    """Memory for the largest build follows from the weights, each number taken for four bytes."""
    small, large = Quantization(precision="int8"), Quantization(precision="int4", method="k_quant")

    found = planned(store, recipe=QuantizeRecipe(candidates=(small, large)))

    assert found.variants == (small.variant, large.variant)
    assert list(found.gates) == ["int8", "int4"]
    assert found.memory_bytes == onnx.build_memory_bytes(large, CHECKPOINT_BYTES // 4)
    assert found.disk_bytes == CHECKPOINT_BYTES + CHECKPOINT_BYTES + 3 * (CHECKPOINT_BYTES // 2)


def test_a_candidate_that_waits_for_a_person_moves_one_alias(store: Store) -> None:
    """What serves stays."""
    assert planned(store, aliases="candidate").aliases == ("candidate",)


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"disk_free_bytes": 9}, False),
        ({"memory_free_bytes": 9}, False),
        ({"memory_free_bytes": 9, "memory_bytes": None}, True),
    ],
)
def test_a_plan_fits_if_disk_and_memory_suffice(
    store: Store, changes: dict[str, Any], fits: bool
) -> None:
    """Exactly enough is enough; what is built nowhere needs no memory."""
    exact = {"disk_bytes": 10, "disk_free_bytes": 10, "memory_bytes": 10, "memory_free_bytes": 10}

    found = planned(store).model_copy(update=exact | changes)

    assert found.fits is fits
