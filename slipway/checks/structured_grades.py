"""Whether a candidate writes documents and calls tools as well as its source.

The markup of a call is not prescribed: a candidate's call counts if the words that touch it are
those of a call of its source.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from slipway.checks.grading import GradeRequest, graded_in_child
from slipway.checks.tool_calls import calls
from slipway.errors import StepFailed
from slipway.evaluation import paired
from slipway.system.process import ProcessLimits
from slipway.values import (
    Answers,
    CheckResult,
    GateLimits,
    PairedCounts,
    Prompt,
    StructuredAnswer,
    StructuredPrompt,
    ToolCall,
)

DOCUMENTS = "writes JSON that fits its schema as often as its source"
CALLS = "calls a tool where one is needed, and no other, as often as its source"
TOOLS = "calls the right tool as often as its source"
ARGUMENTS = "calls it with the right arguments as often as its source"

#: A source that is right less often lacks the capability, and has nothing to lose.
LEAST_SOURCE_SHARE = 0.5

Facets = Mapping[str, Mapping[str, bool]]


def compare(
    prompts: tuple[StructuredPrompt, ...],
    source: Answers | None,
    candidate: Answers | None,
    margin: GateLimits,
    limits: ProcessLimits,
) -> tuple[CheckResult, ...]:
    """Compare how often both are right, question by question.

    Args:
        prompts: The questions; none if the entry wants no capability.
        source: Answers of the transformers wrapper; None if it could not be asked.
        candidate: Answers of the ONNX wrapper.
        margin: Of ``lost_questions``; without a ``max``, nothing is checked.
        limits: Of the child process that validates documents: a schema may hold any expression.

    Returns:
        One check for each facet of a capability.
    """
    if margin.max is None:
        return ()
    theirs = source.structured if source else ()
    ours = candidate.structured if candidate else ()
    documents = tuple(prompt for prompt in prompts if not prompt.tools)
    tools = tuple(prompt for prompt in prompts if prompt.tools)
    return (
        *(_documents(documents, (theirs, ours), margin, limits) if documents else ()),
        *(compare_calls(tools, theirs, ours, margin) if tools else ()),
    )


def compare_calls(
    prompts: tuple[StructuredPrompt, ...],
    source: tuple[StructuredAnswer, ...],
    candidate: tuple[StructuredAnswer, ...],
    margin: GateLimits,
) -> Iterator[CheckResult]:
    """Yield a check for each facet of the answers to questions with tools."""
    markups = {each.markup for answer in source for each in calls(answer.text or "")}
    before, after = (facets(prompts, each, markups) for each in (source, candidate))
    fault = _fault(source)
    yield from (weigh(name, before[name], after[name], margin, fault) for name in before)


def _documents(
    prompts: tuple[StructuredPrompt, ...],
    answers: tuple[tuple[StructuredAnswer, ...], tuple[StructuredAnswer, ...]],
    margin: GateLimits,
    limits: ProcessLimits,
) -> Iterator[CheckResult]:
    try:
        before, after = valid_documents(prompts, answers, limits)
    except StepFailed as error:
        yield CheckResult(name=DOCUMENTS, severity="critical", passed=None, observed=error.brief)
    else:
        yield weigh(DOCUMENTS, before, after, margin, _fault(answers[0]))


def _fault(source: tuple[StructuredAnswer, ...]) -> str:
    """Return the source's first error."""
    return next((each.error for each in source if each.error), "")


def weigh(
    name: str,
    source: Mapping[str, bool],
    candidate: Mapping[str, bool],
    margin: GateLimits,
    fault: str = "",
) -> CheckResult:
    """Return one facet as a check.

    Args:
        name: The check's.
        source: By prompt, whether the source is right.
        candidate: The same of the candidate.
        margin: Largest share of the questions that may be lost.
        fault: The source's first error.

    Returns:
        A paired test; undecided if the source is right too seldom.
    """
    right, of = sum(source.values()), len(source)
    shares = f"right in {sum(candidate.values())} of {of}, the source in {right}"
    if right < LEAST_SOURCE_SHARE * of:
        said = f"{shares}: the source lacks this capability{fault and f', {fault}'}"
        return CheckResult(name=name, severity="critical", passed=None, observed=said)
    lost = tuple(each for each in source if source[each] and not candidate[each])
    gained = sum(candidate[each] and not source[each] for each in source)
    counts = PairedCounts(compared=of, lost=len(lost), gained=gained)
    found = paired.check(name, counts, margin.max or 0, margin.severity, lost)
    return found.model_copy(update={"observed": f"{shares}; {found.observed}"})


def valid_documents(
    prompts: tuple[StructuredPrompt, ...],
    answers: Sequence[tuple[StructuredAnswer, ...]],
    limits: ProcessLimits,
) -> list[dict[str, bool]]:
    """Return of each wrapper, by prompt, whether its answer is JSON that fits; no answer is not."""
    if not prompts:
        return [{} for _ in answers]
    ids = {prompt.id for prompt in prompts}
    texts = tuple(
        dict.fromkeys(ids) | {each.prompt_id: each.text for each in some if each.prompt_id in ids}
        for some in answers
    )
    asked = tuple(
        Prompt.model_validate(prompt.model_dump(include={*Prompt.model_fields}))
        for prompt in prompts
    )
    request = GradeRequest(prompts=asked, texts=texts, folder=Path())
    found = graded_in_child(request, limits, "grade documents")
    return [{each.prompt_id: each.right is True for each in grades} for grades in found]


def facets(
    prompts: tuple[StructuredPrompt, ...],
    answers: tuple[StructuredAnswer, ...],
    markups: set[tuple[str, str]],
) -> Facets:
    """Return what is right of each answer to a question with tools.

    Args:
        prompts: The questions.
        answers: Of one wrapper.
        markups: Of the source's calls; a call in other markup is broken, and so is markup
            without a call.
    """
    texts = {each.prompt_id: each.text for each in answers}
    called = {prompt.id: _called(texts.get(prompt.id), markups) for prompt in prompts}
    needed = [prompt for prompt in prompts if prompt.call]
    return {
        CALLS: {each.id: _calls_or_not(called[each.id], each.call) for each in prompts},
        TOOLS: {each.id: _names(called[each.id]) == _names((each.call,)) for each in needed},
        ARGUMENTS: {each.id: _same(called[each.id], each.call) for each in needed},
    }


def _called(text: str | None, markups: set[tuple[str, str]]) -> tuple[ToolCall, ...] | None:
    """Return the calls of an answer; None if there is no answer, or it has a broken call."""
    if text is None:
        return None
    found = [*calls(text)]
    if any(each.markup not in markups for each in found):
        return None
    words = {word for markup in markups for word in markup if word.startswith("<")}
    if not found and any(word in text for word in words):
        return None
    return tuple(each.call for each in found)


def _calls_or_not(found: tuple[ToolCall, ...] | None, right: ToolCall | None) -> bool:
    return found is not None and bool(found) == bool(right)


def _names(found: Sequence[ToolCall | None] | None) -> list[str] | None:
    return None if found is None else [each.name for each in found if each]


def _same(found: tuple[ToolCall, ...] | None, right: ToolCall | None) -> bool:
    if found is None or right is None or len(found) != 1 or found[0].name != right.name:
        return False
    return bool(_folded(found[0].arguments) == _folded(right.arguments))


def _folded(value: Any) -> Any:
    """Return a value without what is no difference to a tool: letter case and outer spaces."""
    if isinstance(value, str):
        return value.strip().casefold()
    if isinstance(value, list):
        return [_folded(each) for each in value]
    if isinstance(value, dict):
        return {name: _folded(each) for name, each in value.items()}
    return value
