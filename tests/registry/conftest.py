"""One real registry for all of these tests, and a model of its own for each."""

from pathlib import Path

import pytest
from shelf import Shelf, fresh_name

from slipway.registry import Registry
from slipway.tracking import Place


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry in a database of its own."""
    folder = tmp_path_factory.mktemp("registry")
    place = Place(uri=f"sqlite:///{folder / 'mlflow.db'}", artifacts=folder / "artifacts")
    return Registry(place, folder / "locks")


@pytest.fixture
def shelf(registry: Registry, tmp_path: Path) -> Shelf:
    """Return a model that nothing is released of yet."""
    return Shelf(registry, tmp_path / "files", fresh_name())
