"""What several folders of tests share; heavy libraries are imported when a test asks for them."""

import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from slipway.libraries import disable_telemetry
from slipway.system.process import ProcessLimits

pytest_plugins = ["tests.support.child_ways", "tests.support.project"]

ROOT = Path(__file__).parents[1]

#: So small a model only waits for a second thread, which costs three times the processor time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

disable_telemetry()  # before a test imports the libraries that would report their use

#: A shell starts what runs in its background without Ctrl-C, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: The same examples each time, so that a change fails for what it does; `make faults` tries new
#: ones. A busy machine is no reason to fail.
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("new", _UNHURRIED)
settings.register_profile("same", _UNHURRIED, derandomize=True)
settings.load_profile("same")

#: Without it, tests would find the password of a ``slipway up`` that ran in this checkout.
_HOME = tempfile.TemporaryDirectory(prefix="slipway-home")
os.environ.setdefault("SLIPWAY_HOME", _HOME.name)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Forget the registry of the test before, ahead of the fixtures of every scope.

    MLflow's client writes the address that it is given into the environment, which settings read.
    """
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny Phi-3 in the layout of transformers; tests read it and never write to it."""
    from tests.support.tiny_phi3 import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessLimits:
    """Return what a child process of a test may use; it finds ``tests.support``."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return ProcessLimits(timeout_seconds=300, memory_bytes=None, logs=tmp_path / "logs")
