"""A call in a child process keeps its limits, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from slipway.errors import StepCrashed, StepOutOfMemory, StepTimedOut
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.system.progress import Progress
from tests.support import child_functions
from tests.support.child_functions import MEGABYTE, ChildRequest
from tests.support.child_ways import MODULES, gone

pytestmark = pytest.mark.usefixtures("way")


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


@pytest.mark.parametrize("strict", [False, True])
def test_a_child_over_its_memory_limit_is_ended(limits: ProcessLimits, strict: bool) -> None:
    """Before it takes the machine down; the error tells how much it held."""
    bounded = replace(limits, memory_bytes=300 * MEGABYTE, strict=strict)

    call(child_functions.hold, ChildRequest(number=1), bounded, step="hold")
    with pytest.raises(StepOutOfMemory) as caught:
        call(child_functions.hold, ChildRequest(number=4000), bounded, step="hold")

    assert 0 < caught.value.peak_bytes < 3000 * MEGABYTE
    assert not strict or caught.value.peak_bytes < 300 * MEGABYTE  # it was never given more


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("work", [child_functions.loop, child_functions.flood])
def test_a_child_that_does_not_end_is_ended(
    limits: ProcessLimits, work: Callable[[ChildRequest], None], strict: bool
) -> None:
    """In native code that holds the interpreter's lock, and while it reports without a pause."""
    started = time.monotonic()

    with pytest.raises(StepTimedOut) as caught:
        call(work, ChildRequest(), replace(limits, timeout_seconds=2, strict=strict), step="loop")

    assert caught.value.limit_seconds == 2
    assert 2 <= time.monotonic() - started < 20


def test_limits_hold_while_the_caller_is_busy(limits: ProcessLimits) -> None:
    """A report of progress may wait for a server that does not answer."""
    ended: list[bool] = []

    with pytest.raises(StepTimedOut):
        call(
            child_functions.hang,
            ChildRequest(),
            replace(limits, timeout_seconds=10),
            step="hang",
            progress=lambda _, text: ended.extend(gone(int(pid)) for pid in text.split()),
        )

    assert ended == [True, True]


def test_an_answer_without_an_end_is_refused(limits: ProcessLimits) -> None:
    """It would fill the memory of the caller."""
    with pytest.raises(StepCrashed, match="its answer is longer than 64 MB"):
        call(child_functions.say_much, ChildRequest(number=70), limits, step="say")


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
