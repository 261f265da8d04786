"""One real registry for all of these tests, and a model of its own for each."""

import shutil
from pathlib import Path

import pytest

from slipway.registry import Registry
from slipway.tracking.location import MlflowLocation
from tests.support.fake_registry import FakeRegistry, fresh_name, registry_at
from tests.support.project import empty_database


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry in a database of its own."""
    folder = tmp_path_factory.mktemp("registry")
    shutil.copy(empty_database(), folder)
    place = MlflowLocation(uri=f"sqlite:///{folder / 'mlflow.db'}", artifacts=folder / "artifacts")
    return registry_at(place, folder)


@pytest.fixture
def fake_registry(registry: Registry, tmp_path: Path) -> FakeRegistry:
    """Return a model that nothing is released of yet."""
    return FakeRegistry(registry, tmp_path / "files", fresh_name())
