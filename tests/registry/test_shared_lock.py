"""The lock of all machines, against a real MLflow server."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from slipway.tracking import heartbeat, shared_lock
from tests.support.faulty_proxy import losing_proxy
from tests.support.lock_holder import NAME
from tests.support.project import PROJECT

pytestmark = pytest.mark.slow

PROCESSES, ROUNDS = 4, 5


@pytest.fixture
def client(server: str) -> Any:
    """Return MLflow's client."""
    from mlflow import MlflowClient

    return MlflowClient(server, server)


def holder(*arguments: str) -> subprocess.Popen[str]:
    """Start a process that holds the lock."""
    script = PROJECT / "tests" / "support" / "lock_holder.py"
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def waiting_holder(server: str) -> tuple[subprocess.Popen[str], int]:
    """Start a process that holds the lock until it is told to look; return the lock's number."""
    process = holder("stop", server)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_one_process_at_a_time_holds_it(server: str, client: Any, tmp_path: Path) -> None:
    """Each adds to a number that it has read before; none of them loses another's."""
    file = tmp_path / "number"
    file.write_text("0", encoding="utf-8")

    processes = [holder("count", server, str(file), str(ROUNDS)) for _ in range(PROCESSES)]

    assert [process.wait(300) for process in processes] == [0] * PROCESSES
    assert file.read_text(encoding="utf-8") == str(PROCESSES * ROUNDS)
    assert [each.name for each in client.search_experiments() if "lock" in each.name] == []


def test_the_lock_of_a_stopped_holder_is_taken_over_and_the_holder_notices(
    server: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wakes up with an old number, and must not write any more."""
    monkeypatch.setattr(heartbeat, "DEAD_SECONDS", 2.0)
    stopped, number = waiting_holder(server)
    stopped.send_signal(signal.SIGSTOP)

    with shared_lock.held(client, NAME) as lock:
        stopped.send_signal(signal.SIGCONT)
        said, _ = stopped.communicate("look\n", timeout=60)
        lock.require_held()

    assert lock.number == number + 1
    assert said == "lost\n"


def require_left_alone(client: Any, holder: subprocess.Popen[str]) -> None:
    """Check that nobody gets the lock beside a holder that lives, and what the error says."""
    with (
        pytest.raises(shared_lock.RegistryConflict, match="run it again"),
        shared_lock.held(client, NAME),
    ):
        pytest.fail("two processes hold the lock")

    said, _ = holder.communicate("look\n", timeout=60)
    assert said == "held\n"


def test_a_holder_that_lives_is_waited_for(
    server: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as its heartbeat changes; at the end, the error says what to do."""
    monkeypatch.setattr(heartbeat, "DEAD_SECONDS", 5.0)
    monkeypatch.setattr(shared_lock, "_PATIENCE_SECONDS", 12.0)
    alive, _ = waiting_holder(server)

    require_left_alone(client, alive)


def test_a_holder_is_not_taken_for_dead_because_the_server_was_away(
    server: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No heartbeat arrived meanwhile, so what is read at its return says nothing."""
    monkeypatch.setattr(heartbeat, "RENEW_SECONDS", 1.0)
    monkeypatch.setattr(heartbeat, "DEAD_SECONDS", 5.0)
    monkeypatch.setattr(shared_lock, "_PATIENCE_SECONDS", 20.0)
    alive, _ = waiting_holder(server)
    newest, before = shared_lock._newest, shared_lock._newest(client, NAME)
    looks = iter(range(100))

    def after_an_outage(client: Any, name: str) -> Any:
        if (number := next(looks)) < 2:
            time.sleep(6 * number)
            return before
        return newest(client, name)

    monkeypatch.setattr(shared_lock, "_newest", after_an_outage)
    require_left_alone(client, alive)


def test_a_release_waits_for_as_long_as_another_one_lives(
    server: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told that it waits is not refused; a release may take hours."""
    monkeypatch.setattr(shared_lock, "_PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(shared_lock, "_LONG_LOOK_SECONDS", 0.5)
    (alive, number), told = waiting_holder(server), []
    end = threading.Timer(5, alive.communicate, ["look\n"])
    end.start()

    with shared_lock.held(client, NAME, tell=lambda: told.append("waits")) as lock:
        end.join()

    assert (told, lock.number, alive.poll()) == (["waits"], number + 1, 0)


def test_lost_replies_make_one_lock(server: str) -> None:
    """MLflow's client asks again; what it finds then is its own."""
    from mlflow import MlflowClient

    with losing_proxy(server, 2) as (address, lost):
        client = MlflowClient(address, address)
        with shared_lock.held(client, "lossy") as first:
            first.require_held()
        with shared_lock.held(client, "lossy") as second:
            second.require_held()

    assert (first.number, second.number) == (1, 2)
    assert any(path.endswith("experiments/create") for path in lost)
