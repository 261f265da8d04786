"""A call in a child process returns its result, or why there is none, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from slipway.errors import MachineTooSmall, StepCrashed, StepOutOfMemory, StepTimedOut, UnknownModel
from slipway.system import fork_server
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.system.progress import Progress
from tests.support import child_functions
from tests.support.child_functions import ChildRequest

MEGABYTE = child_functions.MEGABYTE

MODULES = ("tests.support.child_functions",)


class EveryStep(dict[str, tuple[str, ...]]):
    """The same modules for a step of any name."""

    def get(self, _step: str, _default: object = None) -> tuple[str, ...]:  # type: ignore[override]
        """Return the modules."""
        return MODULES


@pytest.fixture(autouse=True, params=["new process", "forked"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run every test with children that are started anew, and with children that are forked."""
    preloaded = EveryStep() if request.param == "forked" else {}
    monkeypatch.setattr(fork_server, "PRELOADED", preloaded)
    return str(request.param)


def log_of(limits: ProcessLimits) -> Path:
    """Return the only log."""
    [log] = limits.logs.iterdir()
    return log


def gone(pid: int) -> bool:
    """Tell whether a process has ended, waiting a little for the system to end it."""
    for _ in range(50):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False


def test_the_result_is_a_value_again(limits: ProcessLimits) -> None:
    """It travels as JSON and arrives as what the function's annotation says: paths, tuples."""
    request = ChildRequest(path=Path("a/b"), number=3)

    outcome = call(child_functions.count, request, limits, step="count")

    assert outcome.value == child_functions.Sum(path=Path("a/b"), numbers=(0, 1, 2))
    assert 0 < outcome.seconds < 60


def test_the_peak_of_the_childs_memory_is_measured(limits: ProcessLimits) -> None:
    """What it held for half a second counts; what the caller holds does not."""
    ballast = bytearray(400 * MEGABYTE)

    small = call(child_functions.hold, ChildRequest(number=1), limits, step="hold")
    large = call(child_functions.hold, ChildRequest(number=200), limits, step="hold")

    assert len(ballast) > small.peak_memory_bytes > 10 * MEGABYTE
    assert large.peak_memory_bytes - small.peak_memory_bytes == pytest.approx(
        200 * MEGABYTE, rel=0.1
    )
    assert large.value != os.getpid()


def test_memory_that_is_shared_for_a_moment_is_counted_once(limits: ProcessLimits) -> None:
    """Between fork and exec a helper seems to hold all that its parent holds."""
    outcome = call(child_functions.fork_often, ChildRequest(number=200), limits, step="fork")

    assert 200 * MEGABYTE < outcome.peak_memory_bytes < 350 * MEGABYTE


def test_a_helpers_own_memory_is_counted(limits: ProcessLimits) -> None:
    """A builder may have workers of its own, and the limit is for all of them."""
    bounded = replace(limits, memory_bytes=250 * MEGABYTE)

    with pytest.raises(StepOutOfMemory):
        call(child_functions.hold_in_helper, ChildRequest(number=300), bounded, step="hold")


def test_progress_arrives_as_data_and_prints_go_to_the_log(limits: ProcessLimits) -> None:
    """A library that prints what looks like progress reports none."""
    reports: list[tuple[float | None, str]] = []

    call(
        child_functions.count,
        ChildRequest(text="counted", number=4),
        limits,
        step="count",
        progress=lambda *report: reports.append(report),
    )

    assert reports == [(number / 4, f"counted {number}") for number in range(4)]
    assert log_of(limits).read_text() == "".join(f"counted {number}\n" for number in range(4))


def test_progress_arrives_while_the_child_runs(limits: ProcessLimits) -> None:
    """A caller that is interrupted meanwhile ends the child, and what the child started."""
    reported: list[str] = []

    with pytest.raises(KeyboardInterrupt):
        call(
            child_functions.hang,
            ChildRequest(),
            limits,
            step="hang",
            progress=_interrupted_at_first(reported),
        )

    assert all(gone(int(pid)) for pid in reported[0].split())


def _interrupted_at_first(reported: list[str]) -> Progress:
    def progress(_share: float | None, text: str) -> None:
        reported.append(text)
        raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("one\n\ntwo\n", ["one", "two"], id="empty lines are dropped"),
        pytest.param("10%\r20%\r30%", ["10%", "20%", "30%"], id="a bar that redraws itself"),
        pytest.param("grüß dich 🌍\n", ["grüß dich 🌍"], id="letters of several bytes"),
        pytest.param("x" * 200_000 + "\ny", ["x" * 200_000, "y"], id="longer than a pipe"),
    ],
)
def test_every_printed_line_can_be_read_and_is_logged(
    limits: ProcessLimits, text: str, lines: list[str]
) -> None:
    """In order, and the last one without a line's end as well."""
    reported: list[str] = []

    call(
        child_functions.say_watched,
        ChildRequest(text=text),
        limits,
        step="say it",
        progress=lambda _, line: reported.append(line),
    )

    assert reported == lines
    logged = log_of(limits).read_text(encoding="utf-8").splitlines()
    assert [line for line in logged if line] == lines
    assert log_of(limits).name.startswith("say-it-")


def test_two_calls_at_once_have_two_logs(limits: ProcessLimits) -> None:
    """Two releases that run side by side do not overwrite each other's evidence."""
    for text in ("one", "two"):
        call(child_functions.say, ChildRequest(text=text), limits, step="say")

    assert sorted(log.read_text() for log in limits.logs.iterdir()) == ["one", "two"]


def test_an_error_of_our_tree_arrives_as_itself(limits: ProcessLimits) -> None:
    """With its fields, of the types that they had, and so with its text and exit code."""
    with pytest.raises(UnknownModel) as unknown:
        call(child_functions.refuse, ChildRequest(text="tyni"), limits, step="refuse")
    with pytest.raises(MachineTooSmall) as small:
        call(child_functions.too_small, ChildRequest(number=7), limits, step="measure")

    assert (unknown.value.model, unknown.value.known) == ("tyni", ("tiny", "other"))
    assert (small.value.needed_bytes, small.value.free_bytes) == (7, 1)


def test_any_other_error_is_a_crash_in_one_line(limits: ProcessLimits) -> None:
    """The line names what was raised; the traceback is in the log."""
    with pytest.raises(StepCrashed) as caught:
        call(
            child_functions.fail,
            ChildRequest(text="no\n\n  such  thing" + "!" * 400),
            limits,
            step="try",
        )

    assert caught.value.reason == ("ValueError: no such thing" + "!" * 400)[:300]
    assert caught.value.log == str(log_of(limits))
    assert "Traceback" in log_of(limits).read_text()


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (ChildRequest(text="loading\nout of luck\n\n", number=3), "out of luck"),
        (ChildRequest(number=3), "exit status 3, no output"),
        (ChildRequest(number=0), "exit status 0, no output"),
    ],
    ids=["last words", "silent", "silent success"],
)
def test_a_child_without_a_result_has_crashed(
    limits: ProcessLimits, asked: ChildRequest, reason: str
) -> None:
    """A library that ends the process, even with success, has not returned."""
    with pytest.raises(StepCrashed) as caught:
        call(child_functions.leave, asked, limits, step="leave")

    assert caught.value.reason == reason


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT"])
def test_a_native_crash_names_its_signal(limits: ProcessLimits, name: str) -> None:
    """The caller lives on."""
    request = ChildRequest(number=signal.Signals[name])

    with pytest.raises(StepCrashed) as caught:
        call(child_functions.die, request, limits, step="die")

    assert caught.value.reason == f"killed by {name}"


def test_a_kill_by_the_system_reads_as_out_of_memory(limits: ProcessLimits) -> None:
    """Linux ends the process that takes too much, and reports nothing."""
    with pytest.raises(StepOutOfMemory) as caught:
        call(child_functions.die, ChildRequest(number=signal.SIGKILL), limits, step="die")

    assert caught.value.step == "die"


def test_a_child_over_its_memory_limit_is_killed(limits: ProcessLimits) -> None:
    """Before it takes the machine down; the error tells how much it held."""
    bounded = replace(limits, memory_bytes=150 * MEGABYTE)

    call(child_functions.hold, ChildRequest(number=1), bounded, step="hold")
    with pytest.raises(StepOutOfMemory) as caught:
        call(child_functions.hold, ChildRequest(number=300), bounded, step="hold")

    assert caught.value.peak_bytes > 150 * MEGABYTE


def test_a_child_that_hangs_is_ended_with_all_that_it_started(limits: ProcessLimits) -> None:
    """At its time limit, which the error names."""
    reported: list[str] = []
    started = time.monotonic()

    bounded = replace(limits, timeout_seconds=4)
    with pytest.raises(StepTimedOut) as caught:
        call(
            child_functions.hang,
            ChildRequest(),
            bounded,
            step="hang",
            progress=lambda _, text: reported.append(text),
        )

    assert caught.value.limit_seconds == 4
    assert 4 <= time.monotonic() - started < 20
    assert [gone(int(pid)) for pid in reported[0].split()] == [True, True]


def test_a_child_that_closed_its_output_keeps_its_limits(limits: ProcessLimits) -> None:
    """Silence is no end: it is still ended at its time limit."""
    with pytest.raises(StepTimedOut):
        call(
            child_functions.fall_silent,
            ChildRequest(),
            replace(limits, timeout_seconds=2),
            step="hush",
        )


def test_a_helper_that_stays_behind_does_not_delay_the_result(limits: ProcessLimits) -> None:
    """The child has returned, so its helper is ended, though it still holds the output open."""
    outcome = call(child_functions.leave_helper, ChildRequest(), limits, step="help")

    assert outcome.seconds < 30
    assert gone(outcome.value)


def test_secrets_stay_with_the_parent(
    limits: ProcessLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model's code, should it ever run, finds no token, can't download and opens no pickle."""
    hidden = ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD")
    for name in (*hidden, "SLIPWAY_HOME"):
        monkeypatch.setenv(name, "made-up")

    seen = call(child_functions.environment, ChildRequest(), limits, step="look").value

    assert not [name for name in hidden if name in seen]
    assert seen["SLIPWAY_HOME"] == "made-up"
    assert seen["HF_HUB_OFFLINE"] == "1"
    assert seen["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_a_step_that_needs_the_registry_may_sign_in(
    limits: ProcessLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named by the first word of the step, and finds no other secret."""
    monkeypatch.setenv("HF_TOKEN", "made-up")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "made-up")

    seen = call(child_functions.environment, ChildRequest(), limits, step="smoke-test onnx").value

    assert seen["MLFLOW_TRACKING_PASSWORD"] == "made-up"  # noqa: S105 - of a test
    assert "HF_TOKEN" not in seen


def test_no_child_is_left_when_the_parent_is_killed(limits: ProcessLimits, way: str) -> None:
    """A builder that nobody waits for would hold its memory for minutes."""
    preloaded = {"hang": MODULES} if way == "forked" else {}
    script = f"""
        from pathlib import Path
        from slipway.system import fork_server
        from slipway.system.call import call
        from slipway.system.process import ProcessLimits
        from tests.support import child_functions
        fork_server.PRELOADED = {preloaded}
        call(
            child_functions.hang,
            child_functions.ChildRequest(),
            ProcessLimits(60, None, Path("{limits.logs}")),
            step="hang",
            progress=lambda _, text: print(text),
        )
    """
    parent = subprocess.Popen(
        [sys.executable, "-u", "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid, helper = map(int, parent.stdout.readline().split())

    parent.kill()
    parent.communicate()

    assert gone(pid)
    os.kill(helper, signal.SIGKILL)  # the system ends children, not grandchildren


def test_a_child_is_forked_where_its_step_has_a_server(limits: ProcessLimits, way: str) -> None:
    """The parent of the child shows which way was taken."""
    parents = {
        call(child_functions.parent, ChildRequest(), limits, step="look").value for _ in range(2)
    }

    assert len(parents) == 1
    assert (os.getpid() in parents) is (way == "new process")


def test_a_server_with_threads_is_not_forked(
    limits: ProcessLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that another thread holds would stay locked in the child, which is started anew."""
    preloaded = {"look": (*MODULES, "tests.support.starts_a_thread")}
    monkeypatch.setattr(fork_server, "PRELOADED", preloaded)

    found = call(child_functions.parent, ChildRequest(), limits, step="look").value

    assert found == os.getpid()


def test_a_server_that_died_is_replaced(limits: ProcessLimits, way: str) -> None:
    """Whatever ended it, the next call has a result."""
    first = call(child_functions.parent, ChildRequest(), limits, step="look").value
    if way == "forked":
        psutil.Process(first).kill()
        assert gone(first)

    second = call(child_functions.parent, ChildRequest(), limits, step="look").value

    assert (second != first) is (way == "forked")


def test_a_server_has_no_secret(limits: ProcessLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each child receives those of its own row; the server would keep them for all."""
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "made-up")
    monkeypatch.setattr(fork_server, "PRELOADED", {"log": MODULES})

    seen = call(child_functions.environment, ChildRequest(), limits, step="log").value
    server = call(child_functions.parent, ChildRequest(), limits, step="log").value

    assert seen["MLFLOW_TRACKING_PASSWORD"] == "made-up"  # noqa: S105 - of a test
    assert server != os.getpid()
    assert "made-up" not in psutil.Process(server).environ().values()


def test_nothing_is_left_in_the_temporary_folder(
    limits: ProcessLimits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither after a result nor after an error."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())

    call(child_functions.say, ChildRequest(text="hello"), limits, step="say")
    with pytest.raises(StepCrashed):
        call(child_functions.fail, ChildRequest(text="no"), limits, step="try")

    assert set(tmp_path.iterdir()) - before == {limits.logs}
