"""What several folders of tests share; heavy libraries are imported when a test asks for them."""

from pathlib import Path

import pytest

from slipway.child import Limits

pytest_plugins = ["line"]

SUPPORT = Path(__file__).parent / "support"


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny Phi-3 in the layout of transformers; tests read it and never write to it."""
    from tiny_phi3 import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Limits:
    """Return what a child process of a test may use; it finds the modules of ``tests/support``."""
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    return Limits(timeout_seconds=120, memory_bytes=None, logs=tmp_path / "logs")
