"""What the champion answers better than the candidate, prompt by prompt. Pure.

A mean hides the one question that a user will miss. So every prompt is looked at by itself: its
answer, the words that a right answer holds, and the checks of the suite.
"""

import re
from collections.abc import Iterator

from slipway.checks import answer_table
from slipway.values import CheckResult, Prompt, Regression, WrapperReport

NAME = "answers everything that the champion answers"

#: Rounding turns an answer now and then: one, or up to this share of the prompts, is shown only.
#: Measured with SmolLM2 135M on 17 prompts: int8 loses one that fp32 knew, but fp32, which is the
#: source's equal, loses two that int8 knew.
ACCIDENTAL_SHARE = 0.2

#: Facts that say more of the machine in that minute than of the answer; gates weigh the speed.
TIMED = frozenset({"latency_ms"})


def find(
    champion: WrapperReport, candidate: WrapperReport, prompts: tuple[Prompt, ...]
) -> tuple[Regression, ...]:
    """Look for prompts that the champion answers better.

    It does where it answered and the candidate did not, where only its answer holds an expected
    word, and where it passed every check and the candidate fails one that both were held against.

    Args:
        champion: The smoke test of the version that serves.
        candidate: The smoke test of the one that might.
        prompts: What both were asked.

    Returns:
        At most one regression a prompt, in the order of ``prompts``. None where one of them could
        not be asked: a candidate that could not has no answers to compare.
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
    """Turn regressions into a check.

    One regression, or few of many prompts, is a ``warning``: the smallest models turn an answer
    when their weights are rounded in another way, for the better and for the worse, and a limit
    that refuses that refuses every change. More is ``critical``: a fault that is not rounding, such
    as another template, spoils most answers.

    Args:
        champion: The smoke test of the version that serves; None if there is none.
        regressions: What it answers better.
        prompts: What was asked.

    Returns:
        One check, which is undecided, and no fault of the candidate, if the champion could not be
        asked; none without a champion.
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
    """Return the answers by prompt, None where there is none; nothing if it was not asked."""
    if report.answers is None:
        return {}
    rows = answer_table.rows(report.answers, prompts)[: len(prompts)]
    said = {str(row["prompt_id"]): None if row["error"] else row["output"] for row in rows}
    return {name: str(text) if text is not None else None for name, text in said.items()}


def _failed(champion: WrapperReport, candidate: WrapperReport) -> dict[str, list[str]]:
    """Return what the candidate fails and the champion passes, by prompt.

    A champion of another contract was held against another suite: only checks of both count.
    """
    known = {check.name for check in champion.checks}
    spoilt = {name for check in champion.checks for name in _failing(check)}
    found: dict[str, list[str]] = {}
    for check in candidate.checks:
        for prompt_id in _failing(check) if check.name in known else ():
            if prompt_id not in spoilt:
                found.setdefault(prompt_id, []).append(check.name)
    return found


def _failing(check: CheckResult) -> tuple[str, ...]:
    """Return the prompts whose answer, not its time, is at fault."""
    return () if check.passed is not False or check.column in TIMED else check.failing


def _faults(
    prompt: Prompt, before: str | None, after: str | None, failed: dict[str, list[str]]
) -> Iterator[str]:
    if before is None:
        return
    if after is None:
        yield "the champion answers, the candidate does not"
        return
    if _holds(before, prompt.expected) and not _holds(after, prompt.expected):
        wanted = " or ".join(repr(word) for word in prompt.expected)
        yield f"only the champion says {wanted}"
    yield from (f"only the champion passes: {name}" for name in failed.get(prompt.id, ()))


def _holds(text: str, words: tuple[str, ...]) -> bool:
    """Whether one of the words stands in the text, as a word of its own."""
    folded = text.casefold()
    patterns = (rf"(?<!\w){re.escape(word.casefold())}(?!\w)" for word in words)
    return any(re.search(pattern, folded) for pattern in patterns)
