"""Measures what a suite of prompts costs, and how many answers are right, by tag.

``python benchmarks/suite_cost.py FILE COPY…`` asks the prompts of a suite as a release does, one at
a time, in a fresh process for each logged model: a folder with an ``MLmodel``, such as those below
``.slipway/copies``. It prints the answers that are wrong and the checks that fail, and keeps the
answers in ``suite-cost-logs`` of the folder for temporary files. With two models, the answers that
only one of them gets right are counted too. Without arguments: the suite ``general``, and the
copies of the embedded model.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

from slipway.checks import ask, grading, prompt_files, suites
from slipway.libraries import disable_telemetry
from slipway.settings import PROJECT, Settings
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.values import Answers, Grade, LoggedWrapper, Prompt

LOGS = Path(tempfile.gettempdir()) / "suite-cost-logs"
LIMITS = ProcessLimits(timeout_seconds=3600, memory_bytes=None, logs=LOGS)


def main(file: Path, *copies: Path) -> None:
    """Ask every model, and print the results."""
    prompts = prompt_files.load_prompts(file)
    answers = tuple(answered(copy, prompts) for copy in copies)
    started = time.monotonic()
    grades = grading.grade(prompts, answers, file.parent, LIMITS)
    print(f"grading: {time.monotonic() - started:.1f} s")
    for copy, each in zip(copies, grades, strict=True):
        print(f"{copy}: {sum(bool(grade.right) for grade in each)} of {len(each)} are right")
        print(f"  {by_tag(each)}")
        print(f"  wrong: {' '.join(grade.prompt_id for grade in each if not grade.right)}")
    for copy, each in zip(copies, answers, strict=True):
        for check in suites.check(each, prompts, PROJECT / "expectations"):
            if not check.passed:
                print(f"{copy}: {check.severity}: {check.name}: {check.failing} {check.observed}")
    if len(grades) == 2:  # noqa: PLR2004 - a pair
        pairs = Counter(
            (bool(one.right), bool(other.right)) for one, other in zip(*grades, strict=True)
        )
        print(f"only the first: {pairs[True, False]}, only the second: {pairs[False, True]}")


def answered(copy: Path, prompts: tuple[Prompt, ...]) -> Answers:
    """Ask one model, and print the time of its answers."""
    flavors = yaml.safe_load((copy / "MLmodel").read_text(encoding="utf-8"))["flavors"]
    onnx = "transformers" not in flavors
    wrapper = LoggedWrapper(
        kind="onnx" if onnx else "transformers",
        contract=flavors["python_function"]["config"]["contract"] if onnx else "chat",
        model_id="",
        name="measured",
        version=1,
        size_bytes=0,
    )
    step = "smoke-test onnx" if onnx else "smoke-test transformers"
    request = ask.AskRequest(folder=copy, wrapper=wrapper, prompts=prompts)
    answers = call(ask.ask, request, LIMITS, step=step).value
    (LOGS / f"{wrapper.kind}.json").write_text(answers.model_dump_json(), encoding="utf-8")
    seconds = sum(each.latency_ms for each in answers.predictions) / 1000
    speed = answers.tokens_per_second or 0
    cost = f"{len(prompts)} prompts, {seconds:.1f} s, {speed:.1f} tokens/s"
    print(f"{wrapper.kind}: {cost}", flush=True)
    return answers


def by_tag(grades: tuple[Grade, ...]) -> str:
    """Return how many answers are right by the first tag."""
    asked, right = Counter[str](), Counter[str]()
    for grade in grades:
        tag = grade.tags[0] if grade.tags else "without a tag"
        asked[tag] += 1
        right[tag] += bool(grade.right)
    return ", ".join(f"{tag} {right[tag]}/{count}" for tag, count in asked.items())


def embedded() -> list[Path]:
    """Return the suite and the models that are measured without arguments."""
    copies = sorted((Settings().home / "copies").glob("smollm2-135m*/*/model"))
    if not copies:
        sys.exit("no copies of smollm2-135m: run `slipway release smollm2-135m` first")
    return [PROJECT / "expectations" / "prompts" / "general.json", *copies]


if __name__ == "__main__":
    disable_telemetry()
    main(*(map(Path, sys.argv[1:]) if sys.argv[1:] else embedded()))
