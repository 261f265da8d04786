"""The order of a redeploy's steps, with invented results; real servers are in end_to_end."""

import signal
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from commands.redeploy import sentence
from flows import redeploy as module
from slipway.checks import prompt_files
from slipway.redeploy import preflight
from slipway.redeploy.deployment import Deployment
from slipway.redeploy.golden_prompts import GoldenPrompts
from slipway.redeploy.values import (
    Deploy,
    DeployRejected,
    NoChange,
    RedeployDecision,
    Redeployed,
    Reject,
    SwitchResult,
    Unchanged,
)
from slipway.serving.server_file import MODULE
from slipway.settings import PROJECT, Settings
from slipway.system.process import ProcessLimits
from slipway.tracking.verified_copy import CopyPlace
from tests.support.idle_process import idle_process

EQUAL = NoChange(reason="version 5 is already serving")


class Steps:
    """Replaces the tasks, and records which were called."""

    def __init__(
        self, *decisions: RedeployDecision, preflight: str | None = None, switch: str | None = None
    ) -> None:
        self.called: list[str] = []
        self._decisions = iter(decisions)
        self._faults = preflight, switch

    def compare(self, _model: str) -> RedeployDecision:
        """Return the next decision."""
        return next(self._decisions)

    def preflight(self, _model: str, candidate: Deploy) -> SwitchResult:
        """Return how the preflight ended."""
        self.called.append(f"preflight {candidate.version}")
        return SwitchResult(seconds=1, fault=self._faults[0])

    def switch(self, _model: str, candidate: Deploy) -> SwitchResult:
        """Return how the switch ended."""
        self.called.append(f"switch {candidate.version}")
        return SwitchResult(seconds=2, fault=self._faults[1])

    def reject(self, model: str, candidate: Deploy | Reject, reason: str) -> DeployRejected:
        """Reject the version."""
        self.called.append(f"reject {candidate.version}")
        return DeployRejected(
            model=model, version=candidate.version, serving=candidate.serving, reason=reason
        )

    def run(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Run the flow's function over these steps."""
        for name in ("compare", "preflight", "switch", "reject"):
            monkeypatch.setattr(module, name, getattr(self, name))
        monkeypatch.setattr(module, "locked", lambda _model: nullcontext())
        monkeypatch.setattr(module, "ended", lambda outcome: outcome)
        return module.redeploy.fn("tiny")


def candidate(version: int, serving: int = 3) -> Deploy:
    """Return the decision to deploy a version."""
    return Deploy(version=version, serving=serving, size_bytes=1)


def test_an_alias_that_moves_meanwhile_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest version is deployed, in the same run."""
    steps = Steps(candidate(4), candidate(5, serving=4), EQUAL)

    outcome = steps.run(monkeypatch)

    assert steps.called == ["preflight 4", "switch 4", "preflight 5", "switch 5"]
    assert outcome == Redeployed(
        model="tiny", before=4, version=5, preflight_seconds=1, switch_seconds=2
    )


def test_an_alias_that_keeps_moving_is_left_to_the_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This run ends after a few rounds, with its last outcome."""
    steps = Steps(*(candidate(version) for version in range(4, 20)))

    outcome = steps.run(monkeypatch)

    assert outcome.version == 3 + module.ROUNDS
    assert len(steps.called) == 2 * module.ROUNDS


@pytest.mark.parametrize(
    ("decision", "faults", "called"),
    [
        pytest.param(
            candidate(4),
            {"preflight": "too slow"},
            ["preflight 4", "reject 4"],
            id="nothing is switched after a preflight that fails",
        ),
        pytest.param(
            candidate(4),
            {"switch": "too slow"},
            ["preflight 4", "switch 4", "reject 4"],
            id="a switch that fails",
        ),
        pytest.param(
            Reject(version=4, serving=3, reason="too slow"),
            {},
            ["reject 4"],
            id="a version that must not be served is not started",
        ),
    ],
)
def test_a_version_with_a_fault_is_rejected(
    monkeypatch: pytest.MonkeyPatch,
    decision: RedeployDecision,
    faults: dict[str, str],
    called: list[str],
) -> None:
    """With the fault as the reason."""
    steps = Steps(decision, EQUAL, **faults)

    outcome = steps.run(monkeypatch)

    assert steps.called == called
    assert outcome == DeployRejected(model="tiny", version=4, serving=3, reason="too slow")


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (Unchanged(model="tiny", reason=EQUAL.reason), "tiny: version 5 is already serving"),
        (
            Redeployed(model="tiny", before=3, version=4, preflight_seconds=8, switch_seconds=14),
            "tiny: version 4 is serving, after version 3; 22 s",
        ),
        (
            DeployRejected(model="tiny", version=4, serving=3, reason="too slow"),
            "tiny: version 3 is still serving; version 4 is quarantined: too slow",
        ),
    ],
)
def test_the_command_prints_how_it_ended(outcome: Any, line: str) -> None:
    """In one line."""
    assert sentence(outcome) == line


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """Where the tiny model would be served."""
    prompts = prompt_files.load_prompts(PROJECT / "expectations" / "prompts" / "general.json")
    return Deployment(
        model="tiny",
        folder=tmp_path / "serving",
        locks=tmp_path / "locks",
        copies=CopyPlace.of(Settings()),
        limits=ProcessLimits(timeout_seconds=1, memory_bytes=None, logs=tmp_path),
        golden=GoldenPrompts(prompts=prompts, answer={}, max_median_latency_ms=1),
        drain_seconds=1,
    )


def test_the_preflight_server_of_a_killed_redeploy_is_ended(tmp_path: Path) -> None:
    """By the next preflight; the server that serves, and whoever reads its files, is left alone."""
    (tmp_path / "preflight-a").mkdir()
    mine, served = (str(tmp_path / each) for each in ("preflight-a/pointer.json", "pointer.json"))
    with idle_process(MODULE, mine) as left, idle_process(MODULE, served) as other:
        preflight.end_leftovers(tmp_path)

        assert left.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        assert list(tmp_path.iterdir()) == []


def test_redeploys_of_one_model_wait_for_each_other(deployment: Deployment) -> None:
    """The second begins when the first has ended."""
    order: list[str] = []

    def second() -> None:
        with deployment.locked():
            order.append("second")

    with deployment.locked():
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.5)
        order.append("first")
    waiting.join(10)

    assert order == ["first", "second"]
