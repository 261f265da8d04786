"""Versions in Unity Catalog, runs and files on an MLflow server: against a stub of the former.

MLflow's own client (``databricks-uc``) sends every request.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from slipway.registry import Registry
from slipway.tracking.location import MlflowLocation
from slipway.tracking.registry_kind import is_part
from slipway.tracking.tags import QUARANTINED, RELEASE
from slipway.tracking.verified_copy import CopyRequest, fetch
from slipway.values import AuditInfo
from tests.support.fake_registry import FakeRegistry, registry_at
from tests.support.kills import Killed, kill_after
from tests.support.unity_catalog import SCHEMA, UnityCatalog, unity_catalog

pytestmark = pytest.mark.slow  # starts an MLflow server

BOB = AuditInfo(actor="bob@harbour", reason="it answers in verse")
TAG_CALLS = ("set_model_version_tag", "delete_model_version_tag")
_NUMBERS = count()


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Iterator[UnityCatalog]:
    """Run a catalog of its own for a test."""
    with unity_catalog(monkeypatch) as stub:
        yield stub


@pytest.fixture
def model(catalog: UnityCatalog, server: str, tmp_path: Path) -> FakeRegistry:
    """Return a model with a dot in its name, that nothing is released of yet."""
    assert not catalog.models
    place = MlflowLocation(uri=server, artifacts=None, catalog="databricks-uc", schema_name=SCHEMA)
    name = f"tiny-3.{next(_NUMBERS)}"
    return FakeRegistry(registry_at(place, tmp_path), tmp_path / "files", name)


def there(model: FakeRegistry) -> str:
    """Return what the catalog calls a model."""
    return f"{SCHEMA}.{model.model.replace('.', '_')}"


def release_parts(model: FakeRegistry, catalog: UnityCatalog) -> list[int]:
    """Return the lengths of the parts in which the catalog has the release of version 1."""
    kept = sorted(catalog.tags(there(model), 1).items())
    return [len(text) for name, text in kept if is_part(name, RELEASE)]


def registry(model: FakeRegistry) -> Registry:
    """Return the registry, as another process opens it."""
    return Registry(model.registry.copies, model.registry.locks)


def test_a_release_has_names_of_three_parts_and_aliases(
    model: FakeRegistry, catalog: UnityCatalog
) -> None:
    """And is found again by its key, under our own names."""
    release = model.release("one")

    aliases = {"candidate": "1", "champion": "1"}
    assert catalog.models == {
        there(model): aliases,
        f"{there(model)}-transformers": aliases,
    }
    assert {each.name for each in release.versions.wrappers} == {
        model.model,
        f"{model.model}-transformers",
    }
    found = registry(model).released(model.model, "one")
    assert found is not None
    assert found.versions == release.versions
    assert model.register("one") == release.versions
    assert len(catalog.versions) == 2


def test_a_release_is_in_tags_that_the_catalog_allows(
    model: FakeRegistry, catalog: UnityCatalog
) -> None:
    """In parts of 1,000 characters and what names them; a shorter value leaves none of them."""
    model.release("one")

    assert [name for name in catalog.tags(there(model), 1) if "." in name] == []

    client, long = model.registry.client, "x" * 2_500
    client.set_model_version_tag(model.model, "1", RELEASE, long)
    assert model.tags(1)[RELEASE] == long
    assert sum(release_parts(model, catalog)[1:]) == 2_500
    assert max(release_parts(model, catalog)) == 1000
    client.set_model_version_tag(model.model, "1", RELEASE, "{}")
    assert model.tags(1)[RELEASE] == "{}"
    assert release_parts(model, catalog) == [2]
    client.delete_model_version_tag(model.model, "1", RELEASE)
    assert release_parts(model, catalog) == []


def test_a_long_value_is_replaced_as_a_whole_or_not_at_all(
    model: FakeRegistry, catalog: UnityCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever call is the last before a kill; the next that sets the tag leaves nothing else."""
    client, (old, new) = model.registry.client, ("x" * 2_500, "y" * 1_500)
    model.release("one")
    seen = []
    for calls in range(8):
        client.set_model_version_tag(model.model, "1", RELEASE, old)
        with monkeypatch.context() as patch, suppress(Killed):
            kill_after(calls, client._client, TAG_CALLS, patch)
            client.set_model_version_tag(model.model, "1", RELEASE, new)
        seen.append(model.tags(1)[RELEASE])

    assert seen == [old] * 3 + [new] * 5
    assert len(release_parts(model, catalog)) == 3  # two, and what names them


def test_a_rollback_moves_both_models_and_quarantines_what_failed(
    model: FakeRegistry, catalog: UnityCatalog
) -> None:
    """The history is on the MLflow server."""
    model.release("one")
    model.release("two")

    registry(model).roll_back(model.model, None, BOB)

    aliases = {"candidate": "2", "champion": "1", "previous": "2"}
    assert list(catalog.models.values()) == [aliases, aliases]
    assert model.tags(2)[QUARANTINED] == "bob@harbour: it answers in verse"
    history = registry(model).history(model.model)
    assert [(each.version, each.kind) for each in history] == [
        (1, "promotion"),
        (2, "promotion"),
        (1, "rollback"),
    ]
    pending = registry(model).pending_events(model.model)
    assert [each.after for each in pending] == [2, 1]


def test_files_are_copied_into_the_catalog_and_read_from_mlflow(
    model: FakeRegistry, catalog: UnityCatalog
) -> None:
    """MLflow's copy has what was added since, such as the record of the release."""
    model.release("one")
    folder = f"/Models/{there(model).replace('.', '/')}/1"
    assert f"{folder}/artifacts/model/model.onnx" in catalog.files
    catalog.files.clear()

    copied = fetch(CopyRequest(place=model.registry.copies, name=model.model, version=1)).folder

    assert (copied / "artifacts/model/model.onnx").read_bytes() == b"bytes of one"


def test_a_clean_up_finds_the_versions_of_its_schema_alone(
    model: FakeRegistry, catalog: UnityCatalog
) -> None:
    """Other models of the catalog are none of ours."""
    for key in ("one", "two", "three"):
        model.release(key)
    catalog.models["other.schema.model"] = {}

    found = registry(model).releases(model.model)

    assert [each.number for each in found] == [1, 2, 3]
    with registry(model).removing(model.model, found[:1], (), (), BOB):
        pass
    assert {number for _, number in catalog.versions} == {"2", "3"}
