"""What several folders of tests share; heavy libraries are imported when a test asks for them."""

from pathlib import Path

import pytest

from slipway.settings import disable_telemetry
from slipway.system.process import ProcessLimits

pytest_plugins = ["tests.support.project"]

ROOT = Path(__file__).parents[1]

disable_telemetry()  # before a test imports the libraries that would report their use


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny Phi-3 in the layout of transformers; tests read it and never write to it."""
    from tests.support.tiny_phi3 import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessLimits:
    """Return what a child process of a test may use; it finds ``tests.support``."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return ProcessLimits(timeout_seconds=120, memory_bytes=None, logs=tmp_path / "logs")
