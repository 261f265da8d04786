"""One real registry for all of these tests, and a model of its own for each."""

from pathlib import Path

import pytest

from slipway.registry import Registry
from tests.support.fake_registry import FakeRegistry, fresh_name, new_registry


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry in a database of its own."""
    return new_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def fake_registry(registry: Registry, tmp_path: Path) -> FakeRegistry:
    """Return a model that nothing is released of yet."""
    return FakeRegistry(registry, tmp_path / "files", fresh_name())
