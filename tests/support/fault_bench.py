"""Judges what was planted: measured and asked by the code of the line, in its child processes."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slipway.checks import (
    agreement,
    grading,
    parity,
    regressions,
    sampled_rates,
    structured_grades,
    suites,
)
from slipway.checks.ask import FurtherQuestions
from slipway.evaluation import decision, fidelity, gates
from slipway.evaluation.texts import load_texts
from slipway.settings import PROJECT
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.tracking.location import MlflowLocation
from slipway.values import (
    Answers,
    Battery,
    BuildResult,
    Champion,
    CheckResult,
    DeclaredSampling,
    Estimate,
    Evaluation,
    Fidelity,
    Figures,
    GateLimits,
    Gates,
    LoggedWrapper,
    Prompt,
    PromptMessage,
    ScoredCandidate,
    Selection,
    SmokeReport,
    VariantPrecision,
    Verdict,
    Weights,
    WrapperReport,
)
from tests.support.measured_values import artifact_of, weights_of, workspace_of
from tests.support.model_changes import Plant
from tests.support.recorded_answers import Change, answers, as_it_is, questions
from tests.support.tiny_phi3 import CONVERSATIONS
from tests.support.two_wrappers import ChildRequest, Subject, ask_all

EXPECTED = ("Madrid", "ship", "Hello", "10")
GATES = Gates(median_latency_ms=GateLimits(max=700))  # the tiny model needs 40
REFERENCE = "reference"
BOUNDS = ProcessLimits(timeout_seconds=60, memory_bytes=None, logs=PROJECT)  # words need no child


def prompts() -> Iterator[Prompt]:
    """Yield a dozen questions that the tiny model knows by heart, and one with a system turn."""
    known = list(CONVERSATIONS)
    for number, which in enumerate((0, 1, 2, 3, 0, 0, 0, 3, 0, 1, 2, 3)):  # one lost five times
        yield Prompt(
            id=f"question-{number}",
            purpose="one that the tiny model knows by heart",
            messages=(PromptMessage(role="user", content=known[which]),),
            max_tokens=64,
            stop=("harbour",) if number == 1 else (),
            group="batch" if number > 7 else None,
            repeat=number == 0,
            expected=(EXPECTED[which],),
        )
    turns = (
        PromptMessage(role="system", content="Be brief."),
        PromptMessage(role="user", content=known[1]),
    )
    yield Prompt(id="system", purpose="every turn counts", messages=turns, max_tokens=8)


PROMPTS = tuple(prompts())
SAMPLED = FurtherQuestions(
    battery=Battery(
        sampling=DeclaredSampling(temperature=0.7),
        prompt_ids=tuple(each.id for each in PROMPTS[:3]),
    )
)


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
class Project:
    """Where plants are measured, asked and judged.

    Attributes:
        weights: The source of all.
        built: The healthy artifact.
        limits: What a child process may use.
        room: A folder for copies.
    """

    weights: Weights
    built: Path
    limits: ProcessLimits
    room: Path

    @classmethod
    def at(cls, checkpoint: Path, built: Path, room: Path) -> "Project":
        """Lay a project out in an empty folder."""
        limits = ProcessLimits(timeout_seconds=300, memory_bytes=None, logs=room / "logs")
        return cls(weights_of(checkpoint), built, limits, room)

    def plant(self, plant: Plant) -> Path:
        """Return a changed copy of the healthy artifact."""
        folder = shutil.copytree(self.built, self.room / plant.name.replace(" ", "-"))
        plant.change(folder)
        return folder

    def read(self, *, texts: int | None = None) -> fidelity.ReferenceReading:
        """Let the source read the texts that the project comes with, or the first few of them."""
        every = load_texts(PROJECT / "expectations" / "texts" / "general")
        return fidelity.read_source(self.weights, every[:texts], workspace_of(self.limits))

    def measure(
        self,
        folder: Path,
        reading: fidelity.ReferenceReading,
        precision: VariantPrecision = "fp32",
    ) -> Evaluation:
        """Hold an artifact against its source; the time that it takes is left out."""
        artifact = artifact_of(folder, f"cpu-{precision}")
        close = fidelity.measure(artifact, reading, workspace_of(self.limits))
        is_measured = isinstance(close, Fidelity)
        return Evaluation(
            built=BuildResult(variant=artifact.variant, precision=precision, artifact=artifact),
            fidelity=close if is_measured else None,
            speed=None,
            reason=None if is_measured else str(close),
        )

    def ask(self, subjects: Mapping[str, Subject]) -> dict[str, Answers]:
        """Log every wrapper, load it from the registry and ask it, all in one child process."""
        place = MlflowLocation(
            uri=f"sqlite:///{self.room}/mlflow.db", artifacts=self.room / "artifacts"
        )
        errand = ChildRequest(place=place, prompts=PROMPTS, subjects=subjects)
        return call(ask_all, errand, self.limits, step="ask plants").value

    def subject(self, plant: Plant, folder: Path, more: FurtherQuestions) -> Subject:
        """Return the wrapper of a plant."""
        code = plant.write_wrapper(self.room / f"{folder.name}-code")
        return Subject(kind="onnx", contract="chat", folder=folder, wrapper=code, more=more)

    def capabilities(self, change: Change) -> tuple[CheckResult, ...]:
        """Return what is said of a candidate whose recorded answers are the source's, changed."""
        source, candidate = (
            Answers(
                kind="onnx",
                contract="chat",
                predictions=(),
                load_seconds=1,
                peak_memory_bytes=1,
                tokens_per_second=None,
                structured=answers(each),
            )
            for each in (as_it_is, change)
        )
        margin = gates.margin(Gates(), "lost_questions")
        return structured_grades.compare(questions(), source, candidate, margin, self.limits)


def report(answers: Answers, asked: tuple[Prompt, ...] = PROMPTS) -> WrapperReport:
    """Return what the suite of the chat contract says of the answers."""
    wrapper = LoggedWrapper(
        kind=answers.kind, contract="chat", model_id="m-1", name="tiny", version=1, size_bytes=1
    )
    checks = suites.check(answers, asked, PROJECT / "expectations")
    (grades,) = grading.grade(asked, (answers,), PROJECT, BOUNDS)
    return WrapperReport(wrapper=wrapper, answers=answers, checks=checks, grades=grades)


@dataclass(frozen=True)
class Bench:
    """A healthy release, one part of which is replaced by what was planted.

    Attributes:
        project: Where it lies.
        evaluation: What was measured of it.
        onnx: What its wrapper answered; it serves already.
        transformers: What its reference answered.
        asked: The prompts.
        champions_prompts: How many the champion was asked when it was released.
        structured: What is said of its capabilities.
    """

    project: Project
    evaluation: Evaluation
    onnx: WrapperReport
    transformers: WrapperReport
    asked: tuple[Prompt, ...] = PROMPTS
    champions_prompts: int = len(PROMPTS)
    structured: tuple[CheckResult, ...] = ()

    def judge(self, plant: Plant, **parts: Any) -> Outcome:
        """Judge the release with other parts, as its flow does."""
        release = replace(self, **parts)
        smoke = release._smoke(champion=self.onnx)
        candidate = self.weigh(release.evaluation)
        choice = Selection(
            candidates=(candidate,), variant=candidate.evaluation.variant, reason="the only"
        )
        counted: Figures = {"answered_prompts": Estimate.exact(release.champions_prompts)}
        figures = self.evaluation.figures | counted
        champion = Champion(wrapper=self.onnx.wrapper, run_id="1", figures=figures)
        results = decision.final_gates(GATES, choice, smoke, champion)
        checks = (
            *smoke.onnx.checks,
            *smoke.parity,
            *smoke.against_champion,
            *smoke.against_source,
            *smoke.structured,
        )
        blocking = {gate.metric: gates.in_words(gate) for gate in results if gate.blocks}
        return Outcome(plant, decision.judge(smoke, results), {**blocking, **_failed(checks)})

    def weigh(self, evaluation: Evaluation) -> ScoredCandidate:
        """Return what the gates say of what was measured."""
        source = {"size_bytes": Estimate.exact(self.project.weights.stored.size_bytes)}
        return gates.score(evaluation, GATES, source=source, champion=self.evaluation.figures)

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
            against_champion=self._lost(regressions.CHAMPION, champion),
            against_source=self._lost(regressions.SOURCE, self.transformers),
            answer_length_ratio=agreement.length_ratio(agreement.pairs(ours, theirs, self.asked)),
            sampled=sampled_rates.compare(theirs, ours) if ours.samples else None,
            structured=self.structured,
        )

    def _lost(self, name: str, base: WrapperReport) -> tuple[CheckResult, ...]:
        return regressions.weigh(name, base, self.onnx, self.asked, gates.margin(GATES))


def _failed(checks: tuple[CheckResult, ...]) -> dict[str, str]:
    return {
        check.name: check.observed
        for check in checks
        if check.severity == "critical" and check.passed is not True
    }
