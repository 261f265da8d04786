"""Candidates that lose some of the prompts that a recorded release answered well."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slipway.checks import grading, regressions
from slipway.checks.prompt_files import load_prompts
from slipway.evaluation.paired import ACCIDENTAL_SHARE
from slipway.values import (
    Answers,
    GateLimits,
    Grade,
    LoggedWrapper,
    Prediction,
    Prompt,
    WrapperReport,
)

Recorded = Mapping[str, tuple[str, bool | None]]
LOST, GAINED = "This answer was lost.", "This answer was gained."


def recorded(table: Mapping[str, Any], wrapper: str, suite: Path) -> Recorded:
    """Return the answers of one wrapper in a release's ``predictions.json``, graded, by prompt."""
    rows = (dict(zip(table["columns"], row, strict=True)) for row in table["data"])
    texts = {row["prompt_id"]: str(row["answer"]) for row in rows if row["wrapper"] == wrapper}
    prompts = tuple(each for each in load_prompts(suite) if each.id in texts)
    request = grading.GradeRequest(prompts=prompts, texts=(texts,), folder=suite.parent)
    (grades,) = grading.graded(request)
    return {each.prompt_id: (texts[each.prompt_id], each.right) for each in grades}


def drawn(
    answers: Recorded, prompts: Sequence[Prompt], count: int, generator: np.random.Generator
) -> tuple[tuple[Prompt, ...], Recorded]:
    """Return ``count`` graded prompts, drawn with repetition, each with its recorded answer."""
    graded = [each for each in prompts if answers.get(each.id, ("", None))[1] is not None]
    chosen = generator.integers(len(graded), size=count)
    renamed = [(graded[place], f"{graded[place].id}-{at}") for at, place in enumerate(chosen)]
    return (
        tuple(prompt.model_copy(update={"id": name}) for prompt, name in renamed),
        {name: answers[prompt.id] for prompt, name in renamed},
    )


def losing(answers: Recorded, loss: float, generator: np.random.Generator) -> Recorded:
    """Return answers of which a share is lost, and a few more are lost and gained by accident."""
    right = sum(known is True for _, known in answers.values())
    accident = ACCIDENTAL_SHARE / 2 * len(answers)
    chances = {
        True: (loss * len(answers) + accident) / max(right, 1),
        False: accident / max(len(answers) - right, 1),
    }
    changed = generator.random(len(answers))
    return {
        name: ((GAINED, True) if not known else (LOST, False))
        if draw < chances[bool(known)]
        else (text, known)
        for (name, (text, known)), draw in zip(answers.items(), changed, strict=True)
    }


def report(answers: Recorded) -> WrapperReport:
    """Return answers as the smoke test of a wrapper."""
    predictions = tuple(
        Prediction(prompt_id=name, response=json.dumps(text), latency_ms=1.0)
        for name, (text, _) in answers.items()
    )
    return WrapperReport(
        wrapper=LoggedWrapper(
            kind="onnx", contract="prompt", model_id="m-1", name="tiny", version=1, size_bytes=1
        ),
        answers=Answers(
            kind="onnx",
            contract="prompt",
            predictions=predictions,
            load_seconds=1,
            peak_memory_bytes=1,
            tokens_per_second=1,
        ),
        checks=(),
        grades=tuple(
            Grade(prompt_id=name, right=known, unmet=() if known else ("is right",))
            for name, (_, known) in answers.items()
        ),
    )


def blocked_share(
    answers: Recorded, prompts: tuple[Prompt, ...], loss: float, margin: float, draws: int
) -> float:
    """Return in which share of draws a candidate that loses ``loss`` of the prompts is blocked."""
    generator, limits, blocked = np.random.default_rng(0), GateLimits(max=margin), 0
    for _ in range(draws):
        candidate = report(losing(answers, loss, generator))
        checks = regressions.weigh(
            regressions.CHAMPION, report(answers), candidate, prompts, limits
        )
        blocked += any(each.severity == "critical" and not each.passed for each in checks)
    return blocked / draws
