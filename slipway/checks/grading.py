"""Whether an answer is right: by its words, its numbers, its form, or a judge.

Words and numbers are compared here, in time that grows with the answer's length. A regular
expression and a JSON schema (which may contain one) can take forever, and a judge is code of the
project: these run in a child process without credentials, and each answer has a time limit.
"""

import importlib.util
import json
import math
import re
import signal
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from slipway.checks import answer_table
from slipway.checks.prompt_files import judge_path
from slipway.errors import StepFailed
from slipway.system.call import call
from slipway.system.process import ProcessLimits, describe
from slipway.values import Answers, CheckResult, ExpectedNumber, Grade, Prompt, Value

NAME = "it is known of every answer whether it is right"
STEP = "grade"

#: Of the wall clock, for all that one prompt expects of one answer.
ANSWER_SECONDS = 5.0
#: For all answers of all wrappers.
TOTAL_SECONDS = 300.0
MEMORY_BYTES = 2_000_000_000

_NUMBER = re.compile(
    r"(?:(?<!\w)[-\u2212])?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?"
)
_FENCED = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
_SHOWN_CHARACTERS = 60

#: Receives a prompt as its suite has it, and the text of an answer; returns True, False, or a text
#: that says what is wrong.
Judge = Callable[[dict[str, Any], str], object]


class GradeRequest(Value):
    """What to grade.

    Attributes:
        texts: Of each wrapper, the answers by prompt; None for one without a text.
        folder: The folder of the judges.
    """

    prompts: tuple[Prompt, ...]
    texts: tuple[dict[str, str | None], ...]
    folder: Path


def grade(
    prompts: tuple[Prompt, ...],
    answers: tuple[Answers | None, ...],
    folder: Path,
    limits: ProcessLimits,
) -> tuple[tuple[Grade, ...], ...]:
    """Return whether the answers of several wrappers are right.

    Args:
        prompts: The prompts of the smoke test.
        answers: Of each wrapper; None for one that could not be asked.
        folder: The folder of the judges.
        limits: Where the child's log goes; its time and its memory are limited more strictly.

    Returns:
        Of each wrapper, the grades of the prompts that have a right answer, in their order; none if
        it could not be asked. What the child could not decide is undecided.
    """
    asked = tuple(prompt for prompt in prompts if prompt.has_right_answer)
    texts = tuple(each and answer_texts(each, asked) for each in answers)
    request = GradeRequest(
        prompts=asked, texts=tuple(each or {} for each in texts), folder=folder.resolve()
    )
    if not any(map(needs_child, asked)):
        return tuple(map(tuple, graded(request)))
    try:
        return tuple(map(tuple, graded_in_child(request, limits, STEP)))
    except StepFailed as error:
        return tuple(_undecided(asked, each, error.brief) for each in request.texts)


def answer_texts(answers: Answers, prompts: tuple[Prompt, ...]) -> dict[str, str | None]:
    """Return the text of the answer to each prompt; None where there is none, or an error."""
    rows = answer_table.rows(answers, prompts)[: len(prompts)]
    return {
        str(row["prompt_id"]): None if row["error"] or row["output"] is None else str(row["output"])
        for row in rows
    }


def needs_child(prompt: Prompt) -> bool:
    """Return whether its answers are graded in a child process."""
    return bool(prompt.matches or prompt.judge) or prompt.json_schema is not None


def graded_in_child(request: GradeRequest, limits: ProcessLimits, step: str) -> list[list[Grade]]:
    """Return the same as ``graded``, within limits of time and memory that are stricter."""
    strict = replace(limits, timeout_seconds=TOTAL_SECONDS, memory_bytes=MEMORY_BYTES, strict=True)
    return call(graded, request, strict, step=step).value


def graded(request: GradeRequest) -> list[list[Grade]]:
    """Return the grades of each wrapper; none for one without answers."""
    checks = _Checks(request.folder)
    return [
        [checks.grade(prompt, texts[prompt.id]) for prompt in request.prompts if texts]
        for texts in request.texts
    ]


def check_decided(
    grades: tuple[Grade, ...], prompts: tuple[Prompt, ...]
) -> tuple[CheckResult, ...]:
    """Return a critical check that every grade is decided; none if nothing could prevent that."""
    if not grades or not any(map(needs_child, prompts)):
        return ()
    open_ = [each for each in grades if each.right is None]
    return (
        CheckResult(
            name=NAME,
            severity="critical",
            passed=None if open_ else True,
            failing=tuple(each.prompt_id for each in open_),
            observed="; ".join(open_[0].unmet) if open_ else "",
        ),
    )


def says(text: str, word: str) -> bool:
    """Return whether the text has the word, or several in a row, in whatever letter case.

    It has to be a whole word, except at a letter without case: Chinese, Japanese, Thai and others
    have no spaces, and Arabic, Hebrew and Korean attach particles.
    """
    folded = word.casefold()
    before = "" if _is_attached(folded[0]) else r"(?<!\w)"
    after = "" if _is_attached(folded[-1]) else r"(?!\w)"
    return bool(re.search(f"{before}{re.escape(folded)}{after}", text.casefold()))


def numbers(text: str) -> Iterator[float]:
    """Yield the numbers of a text in digits; a comma separates thousands only."""
    for found in _NUMBER.findall(text):
        yield float(found.replace(",", "").replace("\N{MINUS SIGN}", "-"))


def _is_attached(character: str) -> bool:
    return unicodedata.category(character) in {"Lo", "Mn", "Mc"}


class _Undecided(Exception):
    """It cannot be said whether an answer is right."""


class _TooLong(BaseException):
    """The time of an answer is over; no class that a judge would catch."""


class _Checks:
    """Everything that a prompt may expect; judges are loaded once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._judges: dict[str, Judge] = {}

    def grade(self, prompt: Prompt, text: str | None) -> Grade:
        """Return the grade of an answer; a missing one is wrong."""
        if text is None:
            return _grade(prompt, right=False, unmet=("answers",))
        if not needs_child(prompt):
            unmet = (*_simple(prompt, text),)
            return _grade(prompt, right=not unmet, unmet=unmet)
        try:
            judge = self._judge(prompt.judge) if prompt.judge else None
            with _limited():
                unmet = (*_simple(prompt, text), *_difficult(prompt, text, judge))
        except _TooLong:
            return _grade(prompt, right=None, unmet=(f"not decided within {ANSWER_SECONDS:g} s",))
        except _Undecided as error:
            return _grade(prompt, right=None, unmet=(str(error),))
        return _grade(prompt, right=not unmet, unmet=unmet)

    def _judge(self, name: str) -> Judge:
        """Return a judge, imported from its file alone."""
        if name not in self._judges:
            path = judge_path(self._folder, name)
            sys.dont_write_bytecode = True  # the folder is the project's
            try:
                spec = importlib.util.spec_from_file_location(path.stem, path)
                module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
                spec.loader.exec_module(module)  # type: ignore[union-attr]
                self._judges[name] = getattr(module, name.partition(":")[2])
            except Exception as error:
                raise _Undecided(f"judge {name}: {describe(error)}") from error
        return self._judges[name]


def _difficult(prompt: Prompt, text: str, judge: Judge | None) -> Iterator[str]:
    """Yield what is unmet of expressions, schema and judge."""
    yield from (f"matches {_short(each)}" for each in prompt.matches if not re.search(each, text))
    if prompt.json_schema is not None and (fault := _schema_fault(text, prompt.json_schema)):
        yield f"fits its JSON schema ({fault})"
    if judge and (fault := _judged(judge, prompt, text)):
        yield f"satisfies {prompt.judge} ({fault})"


def _judged(judge: Judge, prompt: Prompt, text: str) -> str:
    """Return what the judge says against the answer, "" for nothing."""
    try:
        said = judge(prompt.model_dump(mode="json"), text)
    except Exception as error:
        raise _Undecided(f"judge {prompt.judge}: {describe(error)}") from error
    if isinstance(said, bool):
        return "" if said else "returned False"
    if isinstance(said, str) and said:
        return _line(said)
    expected = "expected True, False or a reason"
    raise _Undecided(f"judge {prompt.judge}: returned {said!r:.40}, {expected}")


def _simple(prompt: Prompt, text: str) -> Iterator[str]:
    """Yield what is unmet of words and numbers."""
    if prompt.expected and not any(says(text, word) for word in prompt.expected):
        yield f"says {' or '.join(map(repr, prompt.expected))}"
    if found := [word for word in prompt.forbidden if says(text, word)]:
        yield f"does not say {found[0]!r}"
    if prompt.number and not _has(prompt.number, text):
        within = f" within {prompt.number.tolerance:g}" if prompt.number.tolerance else ""
        yield f"has the number {prompt.number.value:g}{within}"


def _has(number: ExpectedNumber, text: str) -> bool:
    return any(
        math.isclose(each, number.value, rel_tol=1e-9, abs_tol=number.tolerance)
        for each in numbers(text)
    )


def _schema_fault(text: str, schema: Mapping[str, Any]) -> str:
    """Return why the answer is no JSON that fits, "" if it is."""
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import EMPTY_REGISTRY

    blocks = _FENCED.findall(text)
    try:
        value = json.loads(blocks[0] if len(blocks) == 1 else text)
    except (ValueError, RecursionError) as error:
        return f"no JSON: {_line(str(error))}"
    validator = validator_for(schema)(schema, registry=EMPTY_REGISTRY)
    try:
        fault = best_match(validator.iter_errors(value))
    except (Unresolvable, RecursionError) as error:
        raise _Undecided(f"its JSON schema: {describe(error)}") from error
    return f"{fault.json_path}: {_line(fault.message)}" if fault else ""


@contextmanager
def _limited() -> Iterator[None]:
    """Raise ``_TooLong`` in this process's main thread when the time of an answer is over."""
    before = signal.signal(signal.SIGALRM, _raise_too_long)
    signal.setitimer(signal.ITIMER_REAL, ANSWER_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _raise_too_long(*_: object) -> None:
    raise _TooLong


def _undecided(
    prompts: tuple[Prompt, ...], texts: Mapping[str, str | None], reason: str
) -> tuple[Grade, ...]:
    return tuple(_grade(each, right=None, unmet=(reason,)) for each in prompts if texts)


def _grade(prompt: Prompt, *, right: bool | None, unmet: tuple[str, ...]) -> Grade:
    return Grade(prompt_id=prompt.id, tags=prompt.tags, right=right, unmet=unmet)


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…")


def _line(text: str) -> str:
    return " ".join(text.split())[: 2 * _SHOWN_CHARACTERS]
