"""However a flow is started, its run has the same settings, so that nobody takes it for dead."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.libraries import HEARTBEAT_SECONDS
from tests.support.full_stack import environment, prefect_server
from tests.support.project import printed_by

SHOW = """
import json, os
from prefect.settings import get_current_settings
now = get_current_settings()
print(json.dumps([
    now.flows.heartbeat_frequency,
    sorted(now.client.retry_extra_codes),
    now.results.default_serializer,
    str(now.results.local_storage_path),
    now.server.analytics_enabled,
    f"{os.umask(0):o}",
]))
"""

#: What another shell runs: a flow of this project's package that takes longer than a heartbeat.
LONG = f"""
import time
import flows.release_model
from prefect import flow
from prefect.runtime import flow_run

@flow
def long():
    print(flow_run.id, flush=True)
    time.sleep({HEARTBEAT_SECONDS + 6})

long()
"""


def machine(folder: Path) -> dict[str, str]:
    """Return the variables of a machine of its own, with this checkout's catalogue."""
    own = environment(folder, None) | {"HOME": str(folder)}
    return {name: text for name, text in own.items() if name != "SLIPWAY_CATALOGUE"}


@pytest.mark.parametrize(
    "start",
    [
        pytest.param("from flows.release_model import release_model", id="a program, serve"),
        pytest.param("import prefect.flow_engine, flows.release_model", id="a worker's process"),
        pytest.param(
            "from commands import console; from slipway.settings import Settings\n"
            "console.prepare_prefect(Settings(), quiet=True); import flows.redeploy",
            id="the command line",
        ),
    ],
)
def test_every_way_to_start_has_the_same_settings(tmp_path: Path, start: str) -> None:
    """Heartbeat, retries of Prefect's client, results as JSON below our home, and the umask."""
    printed = printed_by(start + SHOW, machine(tmp_path))

    results = str(tmp_path / "home" / "prefect" / "results")
    assert json.loads(printed.splitlines()[-1]) == [30, [500, 504], "json", results, False, "77"]


def test_what_a_person_has_set_stays(tmp_path: Path) -> None:
    """Only what is not set is set."""
    chosen = machine(tmp_path) | {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "45"}

    printed = printed_by("import prefect, flows.release_model" + SHOW, chosen)

    assert json.loads(printed.splitlines()[-1])[0] == 45


def test_a_run_that_a_worker_starts_has_temporary_files_of_its_own(tmp_path: Path) -> None:
    """If it is killed, the next run removes them."""
    started = machine(tmp_path) | {"PREFECT__FLOW_RUN_ID": "of-a-worker"}

    printed = printed_by("import prefect, flows, tempfile; print(tempfile.gettempdir())", started)

    assert Path(printed.split()[-1]).parent == tmp_path / "home" / "tmp"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Run a Prefect server with all of its services; give the variables of its machine."""
    variables = machine(tmp_path) | {"SLIPWAY_OPEN": "true"}
    with prefect_server(tmp_path, variables):
        yield variables


def heartbeats(server: str, run_id: str) -> int:
    """Return how many heartbeats of a run the server has."""
    from prefect.client.orchestration import get_client
    from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter
    from prefect.settings import PREFECT_API_URL, temporary_settings

    wanted = EventFilter(
        event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
        any_resource=EventAnyResourceFilter(id=[f"prefect.flow-run.{run_id}"]),
    )
    with (
        temporary_settings({PREFECT_API_URL: f"{server}/api"}),
        get_client(sync_client=True) as client,
    ):
        return len(client.read_events(wanted, limit=10).events)


@pytest.mark.slow
def test_a_run_from_another_shell_has_heartbeats(server: dict[str, str], tmp_path: Path) -> None:
    """With nothing but the README's exports, the server hears of it before it takes it for dead."""
    address = server["SLIPWAY_PREFECT_URL"]
    run_id = printed_by(LONG, server | {"PREFECT_API_URL": f"{address}/api"}).split()[-1]

    deadline = time.monotonic() + 20  # the server writes events a moment later
    while heartbeats(address, run_id) < 2:
        assert time.monotonic() < deadline
        time.sleep(1)
