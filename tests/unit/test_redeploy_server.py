"""A redeploy finds its server: by its processes on this machine, and else by its address."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import NotServed, ServedElsewhere, ServerMissing
from slipway.redeploy import deployment as module
from slipway.redeploy import model_server
from slipway.redeploy.deployment import Deployment
from slipway.redeploy.golden_prompts import GoldenPrompts
from slipway.redeploy.values import ChampionState, NoChange
from slipway.serving.server_file import MODULE, SERVER, Address
from slipway.settings import Settings
from slipway.system.process import ProcessLimits, start_seconds
from slipway.tracking.verified_copy import CopyPlace
from tests.support.idle_process import idle_process
from tests.support.network import http_server

CHAMPION = ChampionState(version=4, status="released", quarantine=None, size_bytes=1)
TINY = {"model": "tiny", "version": 3, "digest": "d" * 64, "pid": 7}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """Return where the model is to be served, with no server there and no patience."""
    monkeypatch.setattr(module, "START_SECONDS", 0.0)
    return Deployment(
        model="tiny",
        folder=tmp_path / "serving" / "tiny",
        locks=tmp_path / "locks",
        copies=CopyPlace.of(Settings()),
        limits=ProcessLimits(timeout_seconds=1, memory_bytes=None, logs=tmp_path),
        golden=GoldenPrompts(prompts=(), answer={}, max_median_latency_ms=1),
        drain_seconds=1,
        found_at="http://127.0.0.1:9",  # nothing listens there
        is_awaited=True,
    )


@pytest.fixture(params=["one model", "several models"])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run what answers as a model server of another machine does; give its address."""
    other = TINY | {"model": "other"}
    page: Any = TINY if request.param == "one model" else {"models": [other, TINY]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/ready" else 404)
            self.end_headers()
            self.wfile.write(json.dumps(page).encode())

        def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002 - its name
            pass

    with http_server(Handler) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_a_server_of_another_machine_is_found_over_http(place: Deployment, elsewhere: str) -> None:
    """Its processes cannot be replaced from here, so the redeploy says where it belongs."""
    there = replace(place, found_at=elsewhere, is_awaited=False)

    with pytest.raises(ServedElsewhere, match=rf"{elsewhere}, which serves tiny, .* serve-HOST"):
        there.compare(CHAMPION)
    with pytest.raises(ServedElsewhere):
        model_server.require(place.folder, "tiny", elsewhere, patience_seconds=0)
    with pytest.raises(NotServed):
        model_server.require(place.folder, "unknown", elsewhere)


def test_a_model_that_is_to_be_served_and_is_not_fails_its_redeploy(place: Deployment) -> None:
    """A run that completes here would lose the redeploy."""
    with pytest.raises(ServerMissing, match=r"no model server of tiny .* version 4, is not served"):
        place.compare(CHAMPION)
    place.folder.mkdir(parents=True)
    model_server.set_version(place.folder, "tiny", 3)
    with pytest.raises(ServerMissing):
        place.compare(CHAMPION)


def test_nothing_is_missing_where_nothing_is_to_be_served(place: Deployment) -> None:
    """There is no champion, or nobody asked for the model."""
    decisions = (place.compare(None), replace(place, is_awaited=False).compare(CHAMPION))

    assert all(isinstance(each, NoChange) for each in decisions)


def test_a_server_that_is_about_to_start_is_waited_for(
    place: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`slipway up` writes the pointer of a first champion when it looks next."""
    monkeypatch.setattr(module, "START_SECONDS", 20.0)
    place.folder.mkdir(parents=True)
    start = threading.Timer(1.0, model_server.set_version, (place.folder, "tiny", 4))
    start.start()

    decision = place.compare(CHAMPION)

    start.join(20)
    assert not start.is_alive()
    assert decision == NoChange(reason="no server of tiny is running; the next starts its champion")


def test_a_server_with_one_worker_ready_is_waited_for(place: Deployment, elsewhere: str) -> None:
    """It answers already, and says where it listens once all its workers do."""
    place.folder.mkdir(parents=True)
    with idle_process(MODULE) as process:
        listens = threading.Timer(1.0, _say_where, (place.folder, process.pid))
        listens.start()
        model_server.require(place.folder, "tiny", elsewhere)

        assert model_server.find(place.folder) is not None
        listens.join()


@pytest.mark.parametrize(("older_seconds", "is_found"), [(0, True), (5, False)])
def test_a_process_with_the_number_of_a_server_is_not_that_server(
    tmp_path: Path, older_seconds: int, *, is_found: bool
) -> None:
    """Two containers that have one folder number their processes alike."""
    with idle_process(MODULE) as process:
        _say_where(tmp_path, process.pid, older_seconds)

        assert (model_server.find(tmp_path) is not None) is is_found


def _say_where(folder: Path, pid: int, older_seconds: float = 0) -> None:
    """Write what a server with this process writes once it listens."""
    place = {"pid": pid, "host": "127.0.0.1", "port": 9, "workers": 1}
    started = start_seconds(pid) - older_seconds
    address = Address.model_validate(place | {"started_seconds": started})
    (folder / SERVER).write_text(address.model_dump_json(), encoding="utf-8")
