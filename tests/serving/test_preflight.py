"""A preflight server answers, or fails with a reason, and leaves nothing behind."""

from pathlib import Path

import pytest

from slipway.errors import StepCrashed, StepTimedOut
from slipway.redeploy import model_server
from slipway.redeploy.preflight import preflight
from slipway.settings import Settings
from slipway.system.process import ProcessLimits, process_tree
from slipway.tracking.verified_copy import CopyPlace, CopyRequest, VerifiedCopy, fetch
from tests.support.model_servers import MODEL, Registered, is_at_work

NOTHING = VerifiedCopy(folder=Path("/nowhere"), digest="ab" * 32)


@pytest.fixture
def limits(
    registered: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ProcessLimits:
    """Limits of a preflight, in an environment whose registry has the tiny model."""
    monkeypatch.setenv("SLIPWAY_HOME", str(registered.home))
    return ProcessLimits(timeout_seconds=120, memory_bytes=None, logs=tmp_path / "logs")


def test_a_preflight_server_answers_with_its_version(limits: ProcessLimits, tmp_path: Path) -> None:
    """On a port of its own; afterwards its processes and its folder are gone."""
    folder = tmp_path / "serving"
    files = fetch(CopyRequest(place=CopyPlace.of(Settings()), name=MODEL, version=2))
    with preflight(MODEL, 2, files, folder, limits) as address:
        ready = model_server.ready_worker(address)
        tree = process_tree(address.pid)

    assert ready is not None
    assert (ready.model, ready.version) == (MODEL, 2)
    assert len(tree) >= 3
    assert not any(map(is_at_work, tree))
    assert list(folder.iterdir()) == []


def test_a_version_that_cannot_be_loaded_fails_with_its_reason(
    limits: ProcessLimits, tmp_path: Path
) -> None:
    """The reason is the last error in the server's log."""
    with (
        pytest.raises(StepCrashed, match=r"tiny v9 .* the model cannot be loaded"),
        preflight(MODEL, 9, NOTHING, tmp_path, limits),
    ):
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_a_server_that_is_not_ready_in_time_is_ended(limits: ProcessLimits, tmp_path: Path) -> None:
    """No server takes less than a tenth of a second."""
    short = ProcessLimits(timeout_seconds=0.1, memory_bytes=None, logs=limits.logs)

    with pytest.raises(StepTimedOut), preflight(MODEL, 1, NOTHING, tmp_path, short):
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
