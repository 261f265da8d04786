"""One real registry for all of these tests, and a model of its own for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.registry import Registry
from tests.support.fake_registry import FakeRegistry, fresh_name, new_registry
from tests.support.full_stack import mlflow_server
from tests.support.project import empty_database


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry in a database of its own."""
    return new_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def fake_registry(registry: Registry, tmp_path: Path) -> FakeRegistry:
    """Return a model that nothing is released of yet."""
    return FakeRegistry(registry, tmp_path / "files", fresh_name())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a real MLflow server; give its address."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(empty_database().read_bytes())
    with mlflow_server(folder) as url:
        yield url
