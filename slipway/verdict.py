"""May a candidate serve? Pure, and closed on every doubt."""

import math
from collections.abc import Iterator
from statistics import median

from slipway.values import (
    Answers,
    Gates,
    Inconclusive,
    Keep,
    Promote,
    SmokeReport,
    Verdict,
    WrapperReport,
)


def judge(report: SmokeReport, gates: Gates) -> Verdict:
    """Weigh what the smoke test saw.

    A failed critical check or a broken limit keeps the champion. Whatever could not be decided (an
    error, a missing or impossible figure, too few answers) is inconclusive, and never promotes.
    A fault that is certain outweighs one that is not.

    Args:
        report: The smoke test of both wrappers.
        gates: The entry's limits.
    """
    broken = (*_failed(report), *_over(report, gates))
    if broken:
        return Keep(reasons=broken)
    doubts = (*_undecided(report), *_unmeasured(report, gates))
    if doubts:
        return Inconclusive(reasons=doubts)
    checks = sum(len(wrapper.checks) for wrapper in report.wrappers)
    return Promote(reasons=(f"all {checks} checks and 3 limits hold", *_warnings(report)))


def latencies_ms(answers: Answers) -> tuple[float, ...]:
    """Return the latency of every prompt that was answered."""
    answered = (each for each in answers.predictions if each.response and not each.error)
    return tuple(each.latency_ms for each in answered)


def _failed(report: SmokeReport) -> Iterator[str]:
    for wrapper in report.wrappers:
        for check in wrapper.checks:
            if check.passed is False and check.severity == "critical":
                yield _said(wrapper, f"failed: {check.name}: {check.observed}", check.failing)


def _warnings(report: SmokeReport) -> Iterator[str]:
    for wrapper in report.wrappers:
        for check in wrapper.checks:
            if check.passed is not True and check.severity == "warning":
                yield _said(wrapper, f"warning: {check.name}", check.failing)


def _undecided(report: SmokeReport) -> Iterator[str]:
    for wrapper in report.wrappers:
        if wrapper.error or wrapper.answers is None:
            yield _said(wrapper, f"could not be asked: {wrapper.error or 'no answers'}")
            continue
        if not wrapper.checks:
            yield _said(wrapper, "nothing was checked")
        for check in wrapper.checks:
            if check.passed is None and check.severity == "critical":
                yield _said(wrapper, f"{check.name}: could not be decided", check.failing)


def _over(report: SmokeReport, gates: Gates) -> Iterator[str]:
    """Yield the limits that are broken for certain; impossible figures are not certain."""
    answers = report.onnx.answers
    times = latencies_ms(answers) if answers else ()
    if times and _real(*times) and median(times) > gates.max_median_latency_ms:
        limit = gates.max_median_latency_ms
        yield f"median latency {median(times):.0f} ms is over max_median_latency_ms = {limit:.0f}"
    speed = answers.tokens_per_second if answers else None
    if speed is not None and _real(speed) and speed < gates.min_tokens_per_second:
        limit = gates.min_tokens_per_second
        yield f"{speed:.1f} tokens per second are under min_tokens_per_second = {limit:g}"
    if _real(report.size_ratio) and report.size_ratio > gates.max_size_ratio:
        limit = gates.max_size_ratio
        yield f"{report.size_ratio:.2f} of the source's size is over max_size_ratio = {limit:g}"


def _unmeasured(report: SmokeReport, gates: Gates) -> Iterator[str]:
    if not _real(report.size_ratio):
        yield "the size was not measured"
    answers = report.onnx.answers
    if answers is None:
        return
    times = latencies_ms(answers)
    if len(times) < gates.min_prompts:
        yield f"{len(times)} prompts were answered, min_prompts = {gates.min_prompts}"
    if not _real(*times):
        yield "a latency was not measured"
    if answers.tokens_per_second is None or not _real(answers.tokens_per_second):
        yield "tokens per second were not measured"


def _real(*figures: float) -> bool:
    return all(math.isfinite(figure) and figure >= 0 for figure in figures)


def _said(wrapper: WrapperReport, text: str, prompts: tuple[str, ...] = ()) -> str:
    where = f" ({', '.join(prompts)})" if prompts else ""
    return f"{wrapper.wrapper.kind} {text.rstrip(': ')}{where}"
