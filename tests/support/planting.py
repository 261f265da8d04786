"""Judges what was planted: measured and asked by the code of the line, in its child processes."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dossiers import entry
from measured import artifact_of, weights_of, workshop_of
from plants import Plant
from tiny_phi3 import CONVERSATIONS
from two_wrappers import Errand, Subject, ask_all

from slipway import child, expectations, fidelity, gates, parity, regressions, verdict
from slipway.settings import PROJECT
from slipway.tracking import Place
from slipway.values import (
    Answers,
    Attempt,
    Champion,
    Check,
    Choice,
    Contender,
    Estimate,
    Fidelity,
    Gates,
    Limits,
    LoggedWrapper,
    Message,
    Prompt,
    SmokeReport,
    Trial,
    VariantPrecision,
    Verdict,
    Weights,
    WrapperReport,
)

EXPECTED = ("Madrid", "ship", "Hello", "10")
GATES = Gates(median_latency_ms=Limits(max=700))  # the tiny model needs 40
REFERENCE = "reference"


def prompts() -> Iterator[Prompt]:
    """Yield a dozen questions that the tiny model knows by heart, and one with a system turn."""
    known = list(CONVERSATIONS)
    for number in range(12):
        yield Prompt(
            id=f"question-{number}",
            purpose="one that the tiny model knows by heart",
            messages=(Message(role="user", content=known[number % 4]),),
            max_tokens=64,
            stop=("harbour",) if number == 1 else (),
            group="batch" if number > 7 else None,
            repeat=number == 0,
            expected=(EXPECTED[number % 4],),
        )
    turns = Message(role="system", content="Be brief."), Message(role="user", content=known[1])
    yield Prompt(id="system", purpose="every turn counts", messages=turns, max_tokens=8)


PROMPTS = tuple(prompts())


@dataclass(frozen=True)
class Outcome:
    """What became of a plant.

    Attributes:
        plant: What was planted.
        verdict: What was decided.
        blocking: What kept it from serving, gates and checks by name, each with what it said.
    """

    plant: Plant
    verdict: Verdict
    blocking: Mapping[str, str]

    @property
    def row(self) -> str:
        """A line of the table."""
        meant = ", ".join(self.plant.caught_by) or "none"
        said = [self.blocking.get(name, "NOT CAUGHT") for name in self.plant.caught_by]
        return f"{self.plant.name:<50} {meant:<64.64} {self.verdict.kind:<12} {(said or ['-'])[0]}"


@dataclass(frozen=True)
class Yard:
    """Where plants are measured, asked and judged.

    Attributes:
        weights: The source of all.
        built: The healthy artifact.
        limits: What a child process may use.
        room: A folder for copies.
    """

    weights: Weights
    built: Path
    limits: child.Limits
    room: Path

    @classmethod
    def at(cls, checkpoint: Path, built: Path, room: Path) -> "Yard":
        """Lay a yard out in an empty folder."""
        limits = child.Limits(timeout_seconds=300, memory_bytes=None, logs=room / "logs")
        return cls(weights_of(checkpoint), built, limits, room)

    def plant(self, plant: Plant) -> Path:
        """Return a changed copy of the healthy artifact."""
        folder = shutil.copytree(self.built, self.room / plant.name.replace(" ", "-"))
        plant.change(folder)
        return folder

    def read(self, *, texts: int | None = None) -> fidelity.Reading:
        """Let the source read the texts that the project comes with, or the first few of them."""
        every = fidelity.load_texts(PROJECT / "expectations" / "texts" / "general")
        return fidelity.read_source(self.weights, every[:texts], workshop_of(self.limits))

    def measure(
        self, folder: Path, reading: fidelity.Reading, precision: VariantPrecision = "fp32"
    ) -> Trial:
        """Hold an artifact against its source; the time that it takes is left out."""
        artifact = artifact_of(folder, f"cpu-{precision}")
        close = fidelity.measure(artifact, reading, workshop_of(self.limits))
        is_measured = isinstance(close, Fidelity)
        return Trial(
            attempt=Attempt(variant=artifact.variant, precision=precision, artifact=artifact),
            fidelity=close if is_measured else None,
            speed=None,
            reason=None if is_measured else str(close),
        )

    def ask(self, subjects: Mapping[str, Subject]) -> dict[str, Answers]:
        """Log every wrapper, load it from the registry and ask it, all in one child process."""
        place = Place(uri=f"sqlite:///{self.room}/mlflow.db", artifacts=self.room / "artifacts")
        errand = Errand(place=place, prompts=PROMPTS, subjects=subjects)
        return child.call(ask_all, errand, self.limits, step="ask plants").value

    def subject(self, plant: Plant, folder: Path) -> Subject:
        """Return the wrapper of a plant."""
        code = plant.write_wrapper(self.room / f"{folder.name}-code")
        return Subject(kind="onnx", contract="chat", folder=folder, wrapper=code)


def report(answers: Answers, asked: tuple[Prompt, ...] = PROMPTS) -> WrapperReport:
    """Return what the suite of the chat contract says of the answers."""
    wrapper = LoggedWrapper(
        kind=answers.kind, contract="chat", model_id="m-1", name="tiny", version=1, size_bytes=1
    )
    checks = expectations.check(answers, asked, PROJECT / "expectations")
    return WrapperReport(wrapper=wrapper, answers=answers, checks=checks)


@dataclass(frozen=True)
class Bench:
    """A healthy release, one part of which is replaced by what was planted.

    Attributes:
        yard: Where it lies.
        trial: What was measured of it.
        onnx: What its wrapper answered; it serves already.
        transformers: What its reference answered.
        asked: The prompts.
    """

    yard: Yard
    trial: Trial
    onnx: WrapperReport
    transformers: WrapperReport
    asked: tuple[Prompt, ...] = PROMPTS

    def judge(self, plant: Plant, **parts: Any) -> Outcome:
        """Judge the release with other parts, as its flow does."""
        release = replace(self, **parts)
        smoke = release._smoke(champion=self.onnx)
        contender = self.weigh(release.trial)
        choice = Choice(contenders=(contender,), variant=contender.trial.variant, reason="the only")
        champion = Champion(version=1, run_id="1", figures=self.trial.figures)
        results = verdict.final_gates(entry(gates=GATES), choice, smoke, champion)
        checks = (*smoke.onnx.checks, *smoke.parity, *smoke.against_champion)
        blocking = {gate.metric: verdict.said(gate) for gate in results if gate.blocks}
        return Outcome(plant, verdict.judge(smoke, results), {**blocking, **_failed(checks)})

    def weigh(self, trial: Trial) -> Contender:
        """Return what the gates say of what was measured."""
        source = {"size_bytes": Estimate.exact(self.yard.weights.stored.size_bytes)}
        return gates.contender(trial, GATES, source=source, champion=self.trial.figures)

    def _smoke(self, champion: WrapperReport) -> SmokeReport:
        ours, theirs = self.onnx.answers, self.transformers.answers
        assert ours is not None
        assert theirs is not None
        better = regressions.find(champion, self.onnx, self.asked)
        return SmokeReport(
            onnx=self.onnx,
            transformers=self.transformers,
            parity=parity.compare(ours, theirs, self.asked, "fp32"),
            champion=champion,
            regressions=better,
            against_champion=regressions.weigh(champion, better, self.asked),
        )


def _failed(checks: tuple[Check, ...]) -> dict[str, str]:
    return {
        check.name: check.observed
        for check in checks
        if check.severity == "critical" and check.passed is not True
    }
