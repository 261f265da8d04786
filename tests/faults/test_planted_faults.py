"""A fault planted in each gate's subject is caught by the gate that is meant for it.

The subject is the tiny Phi-3 in fp32, with the gates, the texts and the suite that the project
comes with. A table of what became of each plant is printed (``make faults``).
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from slipway.checks import regressions, structured_grades
from slipway.checks.ask import FurtherQuestions
from slipway.evaluation import gates, selection
from slipway.values import Answers, Evaluation, Gates
from tests.support.fault_bench import (
    PROMPTS,
    REFERENCE,
    SAMPLED,
    Bench,
    Outcome,
    Project,
    report,
)
from tests.support.model_changes import Plant, write
from tests.support.planted_faults import (
    CLOSE,
    HARMLESS,
    IN_CODE,
    IN_FILES,
    IN_SAMPLES,
    IN_WEIGHTS,
    OTHER_TURNS,
)
from tests.support.recorded_answers import as_it_is, in_other_markup, without_last_brace
from tests.support.tiny_phi3 import build_onnx, write_checkpoint
from tests.support.two_wrappers import Subject

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
HEALTHY = Plant("nothing")
CRUDE = Plant("int4 with one scale for 256 numbers, as int8", CLOSE)
OTHER_SEED = Plant("weights of another model of the same shape", CLOSE)
FEW_TEXTS = Plant("two texts instead of all", ("compared_tokens",))
FEW_PROMPTS = Plant("a suite of eleven prompts", ("answered_prompts",))
SHORTENED = Plant("a suite that was shortened", ("answered_prompts",))
WORSE_SOURCE = Plant("a source that its own new template spoils", (regressions.CHAMPION,))
#: In answers that were recorded: the tiny model neither writes documents nor calls tools.
IN_ANSWERS = {
    Plant("JSON without its last brace", (structured_grades.DOCUMENTS,)): without_last_brace,
    Plant(
        "a broken tool format",
        (structured_grades.CALLS, structured_grades.TOOLS, structured_grades.ARGUMENTS),
    ): in_other_markup,
}
FAULTS = (
    *IN_WEIGHTS,
    CRUDE,
    OTHER_SEED,
    *IN_FILES,
    *IN_CODE,
    *IN_SAMPLES,
    *IN_ANSWERS,
    WORSE_SOURCE,
    FEW_TEXTS,
    FEW_PROMPTS,
    SHORTENED,
)
MEASURED = (HEALTHY, *IN_WEIGHTS, *HARMLESS)
DRAWN = (HEALTHY, *IN_SAMPLES, *HARMLESS)
ASKED = (*IN_FILES, *IN_CODE, *DRAWN)


class Season(NamedTuple):
    """Everything that was planted, and the healthy release beside it.

    Attributes:
        bench: The healthy release.
        evaluations: What was measured, by the plant's name.
        outcomes: What was decided, by the plant's name.
    """

    bench: Bench
    evaluations: Mapping[str, Evaluation]
    outcomes: Mapping[str, Outcome]


@pytest.fixture(scope="module")
def season(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Season:
    """Plant everything once, and let it be measured, asked and judged."""
    room = tmp_path_factory.mktemp("plants")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        project = Project.at(checkpoint, build_onnx(checkpoint, room / "built"), room)
        folders = {plant.name: project.plant(plant) for plant in {*MEASURED, *ASKED}}
        evaluations = measured(project, folders)
        answers = asked(project, folders)
    bench = Bench(
        project,
        evaluations[HEALTHY.name],
        report(answers[HEALTHY.name]),
        report(answers[REFERENCE]),
    )
    outcomes = {each.plant.name: each for each in judged(bench, evaluations, answers)}
    return Season(bench, evaluations, outcomes)


def measured(project: Project, folders: Mapping[str, Path]) -> dict[str, Evaluation]:
    """Hold against the source whatever may be farther from it."""
    reading, room = project.read(), project.room
    other = write_checkpoint(room / "other", seed=1)
    built = build_onnx(other, room / "other-built")
    crude = build_onnx(project.weights.stored.folder, room / "crude", "int4", block_size=256)
    return {
        **{plant.name: project.measure(folders[plant.name], reading) for plant in MEASURED},
        OTHER_SEED.name: project.measure(built, reading),
        CRUDE.name: project.measure(crude, reading, "int8"),
        FEW_TEXTS.name: project.measure(project.built, project.read(texts=2)),
    }


def asked(project: Project, folders: Mapping[str, Path]) -> dict[str, Answers]:
    """Ask every wrapper, and the references."""
    checkpoint = project.weights.stored.folder
    worse = shutil.copytree(checkpoint, project.room / "worse")
    write("chat_template.jinja", OTHER_TURNS)(worse)
    references = {REFERENCE: checkpoint, WORSE_SOURCE.name: worse}
    return project.ask(
        {
            plant.name: project.subject(
                plant, folders[plant.name], SAMPLED if plant in DRAWN else FurtherQuestions()
            )
            for plant in ASKED
        }
        | {
            name: Subject(kind="transformers", contract="chat", folder=folder, more=SAMPLED)
            for name, folder in references.items()
        }
    )


def judged(
    bench: Bench, evaluations: Mapping[str, Evaluation], answers: Mapping[str, Answers]
) -> Iterator[Outcome]:
    """Judge every plant in the place of the healthy part."""
    for plant in (*IN_WEIGHTS, CRUDE, OTHER_SEED, FEW_TEXTS):
        yield bench.judge(plant, evaluation=evaluations[plant.name])
    for plant in (*IN_FILES, *IN_CODE, *IN_SAMPLES):
        yield bench.judge(plant, onnx=report(answers[plant.name]))
    able = bench.project.capabilities(as_it_is)
    for plant in (HEALTHY, *HARMLESS):
        yield bench.judge(
            plant,
            evaluation=evaluations[plant.name],
            onnx=report(answers[plant.name]),
            structured=able,
        )
    for plant, change in IN_ANSWERS.items():
        yield bench.judge(plant, structured=bench.project.capabilities(change))
    few = PROMPTS[:11]
    yield bench.judge(
        FEW_PROMPTS,
        onnx=report(first(answers[HEALTHY.name], 11), few),
        transformers=report(first(answers[REFERENCE], 11), few),
        asked=few,
    )
    yield bench.judge(SHORTENED, champions_prompts=20)
    spoilt = next(plant for plant in IN_FILES if "another model" in plant.name)
    yield bench.judge(
        WORSE_SOURCE,
        onnx=report(answers[spoilt.name]),
        transformers=report(answers[WORSE_SOURCE.name]),
    )


def first(answers: Answers, count: int) -> Answers:
    """Return the answers to the first few prompts."""
    return answers.model_copy(
        update={
            "predictions": answers.predictions[:count],
            "renderings": answers.renderings[:count],
        }
    )


def test_what_became_of_every_plant(season: Season) -> None:
    """The table: what was planted, the gates or checks meant for it, the verdict, and its words."""
    rows = [season.outcomes[plant.name].row for plant in (*FAULTS, *HARMLESS)]
    head = f"{'planted':<50} {'meant for it':<64} {'verdict':<12} said"
    print("", head, *rows, sep="\n")  # noqa: T201 - it is the point

    assert season.outcomes.keys() == {plant.name for plant in (HEALTHY, *FAULTS, *HARMLESS)}


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.name)
def test_a_fault_is_caught_by_what_is_meant_for_it(season: Season, plant: Plant) -> None:
    """And the candidate is not promoted."""
    outcome = season.outcomes[plant.name]

    assert outcome.verdict.kind != "promoted"
    assert set(plant.caught_by) <= outcome.blocking.keys()


@pytest.mark.parametrize("plant", [HEALTHY, *HARMLESS], ids=lambda plant: plant.name)
def test_a_harmless_change_is_promoted(season: Season, plant: Plant) -> None:
    """Neither measuring nor asking finds a fault."""
    outcome = season.outcomes[plant.name]

    assert dict(outcome.blocking) == {}
    assert outcome.verdict.kind == "promoted"


def test_every_gate_that_blocks_by_default_has_a_fault() -> None:
    """So a new gate needs a plant that it catches."""
    limits = gates.limits_for(Gates(), "fp32")
    critical = {metric for metric, limit in limits.items() if limit.severity == "critical"}

    losses = {"lost_prompts", "lost_questions"}  # gates that are checks of other names
    compared = {regressions.CHAMPION, regressions.SOURCE, structured_grades.DOCUMENTS}
    caught = {name for plant in FAULTS for name in plant.caught_by}
    assert (critical - losses) | compared <= caught


def test_a_candidate_that_cannot_be_measured_says_why_and_others_go_on(season: Season) -> None:
    """Of all that was planted in the weights, the healthy one is chosen, though it comes last."""
    truncated = next(plant for plant in IN_WEIGHTS if "cut off" in plant.name)
    several = [season.evaluations[plant.name] for plant in (*IN_WEIGHTS, OTHER_SEED, HEALTHY)]
    renamed = [
        evaluation.model_copy(
            update={"built": evaluation.built.model_copy(update={"variant": f"cpu-{place}"})}
        )
        for place, evaluation in enumerate(several)
    ]

    choice = selection.select([season.bench.weigh(evaluation) for evaluation in renamed], "first")

    assert (season.evaluations[truncated.name].reason or "").startswith("compare crashed: ")
    assert choice.variant == f"cpu-{len(several) - 1}"
    assert choice.reason == f"the only one of {len(several)} that passes its gates"
