"""Prompts that the champion answers better than the candidate. Pure.

A mean hides the one question that matters to a user. So every prompt is compared on its own: its
answer, the words that a right answer contains, and the checks of the suite.
"""

import re
from collections.abc import Iterator

from slipway.checks import answer_table
from slipway.values import CheckResult, Prompt, Regression, WrapperReport

NAME = "answers everything that the champion answers"

#: Rounding changes an answer now and then: one regression, or up to this share of the prompts, is
#: a warning. Measured with SmolLM2 135M on 17 prompts: int8 loses one right answer of fp32, but
#: fp32, which equals the source, loses two of int8.
ACCIDENTAL_SHARE = 0.2

#: Columns that depend on the machine's load and not on the answer; gates check the speed.
TIMED = frozenset({"latency_ms"})


def find(
    champion: WrapperReport, candidate: WrapperReport, prompts: tuple[Prompt, ...]
) -> tuple[Regression, ...]:
    """Return the prompts that the champion answers better.

    It does if it answered and the candidate did not, if only its answer contains an expected word,
    or if it passed every check and the candidate fails one that applied to both.

    Args:
        champion: The smoke test of the champion.
        candidate: The smoke test of the candidate.
        prompts: The prompts of both.

    Returns:
        At most one regression a prompt, in the order of ``prompts``. None if one of the two has no
        answers to compare.
    """
    before, after = _texts(champion, prompts), _texts(candidate, prompts)
    if not before or not after:
        return ()
    failed = _failed(champion, candidate)
    return tuple(
        Regression(
            prompt_id=prompt.id,
            what="; ".join(faults),
            champion=before[prompt.id] or "",
            candidate=after[prompt.id] or "",
        )
        for prompt in prompts
        if (faults := [*_faults(prompt, before[prompt.id], after[prompt.id], failed)])
    )


def weigh(
    champion: WrapperReport | None, regressions: tuple[Regression, ...], prompts: tuple[Prompt, ...]
) -> tuple[CheckResult, ...]:
    """Return regressions as a check.

    One regression, or few of many prompts, is a ``warning``: other rounding of the weights changes
    some answers of small models, for better and for worse, and a limit without tolerance would
    reject every change. More is ``critical``: a real defect, such as another chat template, spoils
    most answers.

    Args:
        champion: The smoke test of the champion; None if there is none.
        regressions: The prompts that it answers better.
        prompts: All prompts.

    Returns:
        One check, which is undecided and a warning if the champion has no answers; none without a
        champion.
    """
    if champion is None:
        return ()
    if champion.answers is None:
        observed = f"the champion could not be asked: {champion.error or 'no answers'}"
        return (CheckResult(name=NAME, severity="warning", passed=None, observed=observed),)
    few = len(regressions) <= max(1, ACCIDENTAL_SHARE * len(prompts))
    return (
        CheckResult(
            name=NAME,
            severity="warning" if regressions and few else "critical",
            passed=not regressions,
            failing=tuple(each.prompt_id for each in regressions),
            observed=regressions[0].what if regressions else "",
        ),
    )


def _texts(report: WrapperReport, prompts: tuple[Prompt, ...]) -> dict[str, str | None]:
    """Return the answers by prompt, None for a failed one; nothing if there are no answers."""
    if report.answers is None:
        return {}
    rows = answer_table.rows(report.answers, prompts)[: len(prompts)]
    outputs = {str(row["prompt_id"]): None if row["error"] else row["output"] for row in rows}
    return {name: None if text is None else str(text) for name, text in outputs.items()}


def _failed(champion: WrapperReport, candidate: WrapperReport) -> dict[str, list[str]]:
    """Return the checks that the candidate fails and the champion passes, by prompt.

    A champion of another contract has another suite: only checks of both suites count.
    """
    known = {check.name for check in champion.checks}
    failed_by_champion = {name for check in champion.checks for name in _failing(check)}
    found: dict[str, list[str]] = {}
    for check in candidate.checks:
        for prompt_id in _failing(check) if check.name in known else ():
            if prompt_id not in failed_by_champion:
                found.setdefault(prompt_id, []).append(check.name)
    return found


def _failing(check: CheckResult) -> tuple[str, ...]:
    """Return the prompts whose answer fails the check; times are ignored."""
    return () if check.passed is not False or check.column in TIMED else check.failing


def _faults(
    prompt: Prompt, before: str | None, after: str | None, failed: dict[str, list[str]]
) -> Iterator[str]:
    if before is None:
        return
    if after is None:
        yield "the champion answers, the candidate does not"
        return
    if _contains(before, prompt.expected) and not _contains(after, prompt.expected):
        wanted = " or ".join(repr(word) for word in prompt.expected)
        yield f"only the champion says {wanted}"
    yield from (f"only the champion passes: {name}" for name in failed.get(prompt.id, ()))


def _contains(text: str, words: tuple[str, ...]) -> bool:
    """Return whether the text has one of the words as a whole word."""
    folded = text.casefold()
    patterns = (rf"(?<!\w){re.escape(word.casefold())}(?!\w)" for word in words)
    return any(re.search(pattern, folded) for pattern in patterns)
