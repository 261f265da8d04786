"""What unit tests share: a Hub with the models of Acme, and the tiny model's ONNX build."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.sources import download
from slipway.values import HubSource
from tests.support.acme_models import (
    ARTIFACT,
    CARD,
    FAST,
    NEEDED,
    ONNX_REPO,
    OTHERS,
    REPO,
    SLOW,
    TOKEN,
)
from tests.support.hub import LocalHub, RunningHub
from tests.support.tiny_phi3 import build_onnx


@pytest.fixture
def server_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """What a server logs, also where an earlier test ran one, whose logs go nowhere else."""
    log = logging.getLogger("uvicorn.error")
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    monkeypatch.setattr(log, "disabled", False)
    caplog.set_level(logging.WARNING, log.name)
    return caplog


@pytest.fixture
def acme(tmp_path: Path) -> LocalHub:
    """A Hub with one model and the artifacts that its makers publish."""
    hub = LocalHub(tmp_path / "hub", tokens={TOKEN: "ann"})
    hub.push(REPO, NEEDED | OTHERS)
    files = {f"{folder}/{name}": data for folder in (FAST, SLOW) for name, data in ARTIFACT.items()}
    hub.push(ONNX_REPO, files | {f"{FAST}/configuration.py": b"pass", "README.md": CARD})
    return hub


@pytest.fixture
def running(
    acme: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningHub]:
    """The same Hub, reachable by a client that is signed in nowhere and has no cache.

    A retry of a download does not wait there.
    """
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(download, "WAIT_SECONDS", 0.01)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with acme.serve() as running:
        yield running


@pytest.fixture
def source(running: RunningHub) -> HubSource:
    """The model on that Hub."""
    return HubSource(repo=REPO, endpoint=running.endpoint)


@pytest.fixture(scope="session")
def built(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny model as the builder writes it in fp32; tests never write to it."""
    return build_onnx(checkpoint, tmp_path_factory.mktemp("built"))
