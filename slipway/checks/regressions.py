"""Prompts that the champion, or the source, answers better than the candidate. Pure.

A mean hides the one question that matters to a user. So every prompt is compared on its own: its
answer, whether the answer is right, and the checks of the suite. Other rounding of the weights
changes some answers of a small model, for better and for worse: ``slipway.evaluation.paired``
decides whether more were lost than that explains.
"""

from collections.abc import Iterator

from slipway.checks import answer_table
from slipway.evaluation import paired
from slipway.values import (
    CheckResult,
    GateLimits,
    PairedCounts,
    Prompt,
    Regression,
    SuitePower,
    WrapperReport,
)

CHAMPION = "loses no prompts against the champion"
SOURCE = "loses no prompts against its source"

#: Columns that depend on the machine's load and not on the answer; gates check the speed.
TIMED = frozenset({"latency_ms"})


def find(
    champion: WrapperReport, candidate: WrapperReport, prompts: tuple[Prompt, ...]
) -> tuple[Regression, ...]:
    """Return the prompts that the champion answers better.

    It does if it answered and the candidate did not, if only its answer is right, or if it
    passed every check and the candidate fails one that applied to both.

    Args:
        champion: The smoke test of the champion.
        candidate: The smoke test of the candidate.
        prompts: The prompts of both.

    Returns:
        At most one regression a prompt, in the order of ``prompts``. None if one of the two has no
        answers to compare.
    """
    return _find(champion, candidate, _texts(champion, prompts), _texts(candidate, prompts))


def weigh(
    name: str,
    base: WrapperReport | None,
    candidate: WrapperReport,
    prompts: tuple[Prompt, ...],
    limits: GateLimits,
) -> tuple[CheckResult, ...]:
    """Return what the candidate lost and gained as a check.

    A prompt that each of the two answers better in one respect counts as lost.

    Args:
        name: ``CHAMPION`` or ``SOURCE``.
        base: The smoke test of that one; None if there is none.
        candidate: The smoke test of the candidate.
        prompts: The prompts of both.
        limits: Of ``lost_prompts``; without a ``max``, nothing is checked.

    Returns:
        At most one check; undecided and a warning if there is nothing to compare with.
    """
    if base is None or limits.max is None or candidate.answers is None:
        return ()
    if base.answers is None:
        observed = f"it could not be asked: {base.error or 'no answers'}"
        return (CheckResult(name=name, severity="warning", passed=None, observed=observed),)
    before, after = _texts(base, prompts), _texts(candidate, prompts)
    lost = tuple(each.prompt_id for each in _find(base, candidate, before, after))
    gained = {each.prompt_id for each in _find(candidate, base, after, before)} - {*lost}
    can_be_lost = {each.id for each in prompts if each.has_right_answer} | {*lost} | gained
    compared = len(can_be_lost)
    counts = PairedCounts(
        compared=compared, lost=len(lost), gained=len(gained), others=len(prompts) - compared
    )
    return (paired.check(name, counts, limits.max, limits.severity, lost),)


def power(prompts: tuple[Prompt, ...], limits: GateLimits) -> SuitePower | None:
    """Return how surely a loss is found with these prompts; None if no loss is looked for."""
    if limits.max is None:
        return None
    return paired.suite_power(sum(each.has_right_answer for each in prompts), limits.max)


def _find(
    champion: WrapperReport,
    candidate: WrapperReport,
    before: dict[str, str | None],
    after: dict[str, str | None],
) -> tuple[Regression, ...]:
    if not before or not after:
        return ()
    worse, failed = _worse(champion, candidate), _failed(champion, candidate)
    return tuple(
        Regression(
            prompt_id=name, what="; ".join(faults), champion=text or "", candidate=after[name] or ""
        )
        for name, text in before.items()
        if (faults := [*_faults(name, text, after[name], worse, failed)])
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


def _worse(champion: WrapperReport, candidate: WrapperReport) -> dict[str, tuple[str, ...]]:
    """Return what the candidate's wrong answers lack, where the champion's answer is right."""
    right = {each.prompt_id for each in champion.grades if each.right}
    return {each.prompt_id: each.unmet for each in candidate.grades if each.prompt_id in right}


def _faults(
    prompt_id: str,
    before: str | None,
    after: str | None,
    worse: dict[str, tuple[str, ...]],
    failed: dict[str, list[str]],
) -> Iterator[str]:
    if before is None:
        return
    if after is None:
        yield "the champion answers, the candidate does not"
        return
    yield from (f"only the champion {each}" for each in worse.get(prompt_id, ()))
    yield from (f"only the champion passes: {name}" for name in failed.get(prompt_id, ()))
