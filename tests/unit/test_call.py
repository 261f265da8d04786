"""A call in a child process returns its result, or why there is none."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from slipway.errors import DiskFailed, MachineTooSmall, StepCrashed, StepOutOfMemory, UnknownModel
from slipway.settings import PROJECT
from slipway.system import fork_server
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from tests.support import child_functions, traps
from tests.support.child_functions import ChildRequest
from tests.support.child_ways import MODULES, gone

pytestmark = pytest.mark.usefixtures("way")


def log_of(limits: ProcessLimits) -> Path:
    """Return the only log."""
    [log] = limits.logs.iterdir()
    return log


def test_the_result_is_a_value_again(limits: ProcessLimits) -> None:
    """It travels as JSON and arrives as what the function's annotation says: paths, tuples."""
    request = ChildRequest(path=Path("a/b"), number=3)

    outcome = call(child_functions.count, request, limits, step="count")

    assert outcome.value == child_functions.Sum(path=Path("a/b"), numbers=(0, 1, 2))
    assert 0 < outcome.seconds < 60


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


def test_a_full_disk_is_no_crash(limits: ProcessLimits) -> None:
    """Whatever the child was about to write: the disk is named as the cause, and what to do."""
    with pytest.raises(DiskFailed, match=r"failed \(No space left on device\); free space"):
        call(child_functions.fill_disk, ChildRequest(), limits, step="write")


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


def test_a_child_receives_the_variables_of_its_row(
    limits: ProcessLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the first word of its step. A model's code can't download, and opens no pickle."""
    for name in ("HF_TOKEN", "SENTRY_DSN", "MLFLOW_TRACKING_PASSWORD", "SLIPWAY_SERVE"):
        monkeypatch.setenv(name, "made-up")

    without = call(child_functions.environment, ChildRequest(), limits, step="look").value
    signed_in = call(child_functions.environment, ChildRequest(), limits, step="log onnx").value

    assert without["SLIPWAY_SERVE"] == "made-up"
    assert without["HF_HUB_OFFLINE"] == "1"
    assert without["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert not {"HF_TOKEN", "SENTRY_DSN", "MLFLOW_TRACKING_PASSWORD"} & without.keys()
    assert signed_in == without | {"MLFLOW_TRACKING_PASSWORD": "made-up"}


def test_a_child_imports_nothing_from_the_current_folder(
    limits: ProcessLimits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does its server; both work in the checkout."""
    noted = traps.lay_traps(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PYTHONPATH", f"{PROJECT}::.")

    place = call(child_functions.look_around, ChildRequest(), limits, step="look").value

    assert place[0] == str(PROJECT)
    assert not {"", ".", str(tmp_path / "here")} & set(place[1:])
    assert traps.imported(noted) == ""


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
