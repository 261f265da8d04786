"""The order of a redeploy's steps, with made-up findings: real servers are in end_to_end."""

import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from commands.redeploy import sentence
from flows import redeploy as module
from slipway.checks import suites
from slipway.redeploy import (
    Deploy,
    Deployment,
    DeployRejected,
    GoldenPrompts,
    NoChange,
    RedeployDecision,
    Redeployed,
    Reject,
    SwitchResult,
    Unchanged,
    model_server,
    preflight,
)
from slipway.settings import PROJECT
from slipway.system.process import ProcessLimits

EQUAL = NoChange(reason="version 5 serves already")


class Steps:
    """Stands where the tasks stand, and notes which were called."""

    def __init__(
        self, *decisions: RedeployDecision, trial: str | None = None, roll: str | None = None
    ) -> None:
        self.called: list[str] = []
        self._decisions = iter(decisions)
        self._trial, self._roll = trial, roll

    def compare(self, _model: str) -> RedeployDecision:
        """Return the next decision."""
        return next(self._decisions)

    def rehearse(self, _model: str, candidate: Deploy) -> SwitchResult:
        """Try a version."""
        self.called.append(f"rehearse {candidate.version}")
        return SwitchResult(seconds=1, fault=self._trial)

    def switch(self, _model: str, candidate: Deploy) -> SwitchResult:
        """Switch to it."""
        self.called.append(f"switch {candidate.version}")
        return SwitchResult(seconds=2, fault=self._roll)

    def put_back(self, model: str, candidate: Deploy | Reject, reason: str) -> DeployRejected:
        """Put the alias back."""
        self.called.append(f"put back {candidate.serving}")
        return DeployRejected(
            model=model, version=candidate.version, serving=candidate.serving, reason=reason
        )

    def run(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Run the flow's function over these steps."""
        for name in ("compare", "rehearse", "switch", "put_back"):
            monkeypatch.setattr(module, name, getattr(self, name))
        monkeypatch.setattr(module, "alone", lambda _model: nullcontext())
        return module.redeploy.fn("tiny")


def candidate(version: int, serving: int = 3) -> Deploy:
    """Return the decision to try a version."""
    return Deploy(version=version, serving=serving, size_bytes=1)


def test_an_alias_that_moves_meanwhile_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest wins, in the same run."""
    steps = Steps(candidate(4), candidate(5, serving=4), EQUAL)

    outcome = steps.run(monkeypatch)

    assert steps.called == ["rehearse 4", "switch 4", "rehearse 5", "switch 5"]
    assert outcome == Redeployed(
        model="tiny", before=4, version=5, trial_seconds=1, switch_seconds=2
    )


def test_an_alias_that_never_rests_is_left_to_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few rounds this one ends, with what it did last."""
    steps = Steps(*(candidate(version) for version in range(4, 20)))

    outcome = steps.run(monkeypatch)

    assert outcome.version == 3 + module.ROUNDS
    assert len(steps.called) == 2 * module.ROUNDS


@pytest.mark.parametrize(
    ("decision", "faults", "called"),
    [
        pytest.param(
            candidate(4),
            {"trial": "too slow"},
            ["rehearse 4", "put back 3"],
            id="a trial that fails switches nothing",
        ),
        pytest.param(
            candidate(4),
            {"roll": "too slow"},
            ["rehearse 4", "switch 4", "put back 3"],
            id="a switch that fails",
        ),
        pytest.param(
            Reject(version=4, serving=3, reason="too slow"),
            {},
            ["put back 3"],
            id="what must not be tried is not tried",
        ),
    ],
)
def test_a_fault_puts_the_alias_back(
    monkeypatch: pytest.MonkeyPatch,
    decision: RedeployDecision,
    faults: dict[str, str],
    called: list[str],
) -> None:
    """And the reason goes with it."""
    steps = Steps(decision, EQUAL, **faults)

    outcome = steps.run(monkeypatch)

    assert steps.called == called
    assert outcome == DeployRejected(model="tiny", version=4, serving=3, reason="too slow")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Unchanged(model="tiny", reason=EQUAL.reason), "tiny: version 5 serves already"),
        (
            Redeployed(model="tiny", before=3, version=4, trial_seconds=8, switch_seconds=14),
            "tiny: version 4 serves, after version 3; 22 s",
        ),
        (
            DeployRejected(model="tiny", version=4, serving=3, reason="too slow"),
            "tiny: version 3 serves on; version 4 is quarantined: too slow",
        ),
    ],
)
def test_the_command_says_how_it_ended(outcome: Any, words: str) -> None:
    """In one line."""
    assert sentence(outcome) == words


@pytest.fixture
def dock(tmp_path: Path) -> Deployment:
    """A model's place."""
    prompts = suites.load_prompts(PROJECT / "expectations" / "prompts" / "general.json")
    return Deployment(
        model="tiny",
        folder=tmp_path / "serving",
        locks=tmp_path / "locks",
        limits=ProcessLimits(timeout_seconds=1, memory_bytes=None, logs=tmp_path),
        golden=GoldenPrompts(prompts=prompts, answer={}, max_median_latency_ms=1),
        drain_seconds=1,
    )


def test_a_trial_that_a_killed_redeploy_left_behind_is_ended(tmp_path: Path) -> None:
    """The next trial looks for it; a process that only got its number later is left alone."""
    code = "import time; time.sleep(600)"
    left, other = (
        subprocess.Popen([sys.executable, "-c", code, name])
        for name in (model_server.MODULE, "other")
    )
    for name, process in (("trial-a", left), ("trial-b", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pid").write_text(str(process.pid), encoding="utf-8")

    preflight.sweep(tmp_path)

    assert left.wait(10) == -signal.SIGKILL
    assert other.poll() is None
    assert list(tmp_path.iterdir()) == []
    other.kill()
    other.wait()


def test_redeploys_of_one_model_wait_for_each_other(dock: Deployment) -> None:
    """The second begins when the first has ended."""
    order: list[str] = []

    def second() -> None:
        with dock.alone():
            order.append("second")

    with dock.alone():
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.5)
        order.append("first")
    waiting.join(10)

    assert order == ["first", "second"]
