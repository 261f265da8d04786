"""Words for figures: three digits and a unit, and never a number for what was not measured.

Reports, gates, plans, tags and the command line all use these functions, so that one figure reads
the same everywhere.
"""

import math
from collections.abc import Callable

import humanize

from slipway.values import Estimate, Metric

NOT_MEASURED, ABSENT = "not measured", "—"
DIGITS, LIMIT_DIGITS = 3, 6  # a limit keeps the digits that somebody typed into the catalogue
LONG_SECONDS = 120

#: The title of every figure.
TITLES: dict[Metric, str] = {
    "compared_tokens": "Tokens compared with the source",
    "broken_positions": "Positions without finite logits",
    "kl_mean": "KL divergence from the source, mean",
    "kl_p99": "KL divergence, 99th percentile",
    "kl_long": "KL divergence on the long texts, mean",
    "top1_agreement": "Top-1 agreement with the source",
    "perplexity_ratio": "Perplexity, as a multiple of the source's",
    "first_divergence_tokens": "Greedy tokens before the first difference",
    "max_logit_difference": "Largest difference of a logit",
    "size_bytes": "Size",
    "load_seconds": "Load time",
    "time_to_first_token_ms": "Time to the first token",
    "prefill_tokens_per_second": "Prefill speed",
    "decode_tokens_per_second": "Decoding speed",
    "joules_per_1000_tokens": "Energy for 1,000 new tokens",
    "peak_memory_bytes": "Peak memory",
    "answered_prompts": "Prompts answered",
    "lost_prompts": "Prompts lost against champion and source",
    "lost_questions": "Questions of a capability lost against the source",
    "answer_length_ratio": "Length of the answers, as a multiple of the source's",
    "median_latency_ms": "Median latency of an answer",
    "tokens_per_second": "Speed over whole answers",
    "champion_speed_ratio": "Speed over whole answers, as a multiple of the champion's",
    "stop_rate_loss": "Sampled answers that end, below the source's",
    "loop_rate_gain": "Sampled answers that loop, above the source's",
    "refusal_rate_gain": "Sampled answers that refuse, above the source's",
}


def title(metric: str) -> str:
    """Return the title of a figure, or of a loss in a task, which has no other name."""
    return TITLES.get(metric) or f"Loss in {metric.removesuffix('.loss')}"  # type: ignore[call-overload]


def measured(value: float | None) -> float | None:
    """Return ``value``, or None where it is no finite number."""
    return value if value is not None and math.isfinite(value) else None


def number(value: float, unit: str = "", digits: int = DIGITS) -> str:
    """Write ``value`` with at most ``digits`` significant digits, as ``21.4 tokens/s``."""
    return f"{float(f'{value:.{digits}g}'):,g} {unit}".rstrip()


def size(size_bytes: float | None, digits: int = DIGITS) -> str:
    """Write bytes in decimal units, as ``269 MB``."""
    size_bytes = measured(size_bytes)
    if size_bytes is None:
        return NOT_MEASURED
    return humanize.naturalsize(size_bytes, format=f"%.{digits}g")


def count(value: int) -> str:
    """Write a large count, as ``135 million``."""
    return humanize.intword(value, f"%.{DIGITS}g")


def duration(seconds: float | None, digits: int = DIGITS) -> str:
    """Write a time, as ``410 ms``, ``12.3 s`` or ``3 minutes and 20 seconds``."""
    seconds = measured(seconds)
    if seconds is None:
        return NOT_MEASURED
    if seconds < 1:
        return number(seconds * 1000, "ms", digits)
    if seconds < LONG_SECONDS:
        return number(seconds, "s", digits)
    return humanize.precisedelta(round(seconds), format="%d")


def latency(latency_ms: float | None, digits: int = DIGITS) -> str:
    """Write a time that is given in milliseconds."""
    return duration(None if latency_ms is None else latency_ms / 1000, digits)


def speed(tokens_per_second: float | None, digits: int = DIGITS) -> str:
    """Write a speed of generation, as ``21.4 tokens/s``."""
    value = measured(tokens_per_second)
    return NOT_MEASURED if value is None else number(value, "tokens/s", digits)


def energy(joules: float | None, digits: int = DIGITS) -> str:
    """Write an energy, as ``21.4 J``."""
    value = measured(joules)
    return NOT_MEASURED if value is None else number(value, "J", digits)


def percent(ratio: float | None, digits: int = DIGITS) -> str:
    """Write a share, as ``51 %``."""
    value = measured(ratio)
    return NOT_MEASURED if value is None else number(value * 100, "%", digits)


def figure(metric: str, estimate: Estimate | None) -> str:
    """Write a figure in its unit, with its interval if it has one: ``0.57 (0.53 to 0.61)``."""
    if estimate is None or measured(estimate.value) is None:
        return NOT_MEASURED
    ends = (estimate.value, estimate.low, estimate.high)
    value, low, high = (_write(metric, end, DIGITS) for end in ends)
    return value if low == high else f"{value} ({low} to {high})"


def difference(found: Estimate | None) -> str:
    """Write the difference of two scores with its interval, as ``-0.075 (-0.135 to -0.011)``."""
    if found is None:
        return "no interval"
    low, high = (number(each) for each in (found.low, found.high))
    return f"{number(found.value)} ({low} to {high})"


def brief(metric: str, estimate: Estimate | None) -> str:
    """Write a figure for a narrow column: only the KL divergence is shown with its interval.

    Args:
        metric: Which figure.
        estimate: The figure; None becomes a dash.
    """
    if estimate is None:
        return ABSENT
    return figure(metric, estimate if metric == "kl_mean" else Estimate.exact(estimate.value))


def limit(metric: str, value: float) -> str:
    """Write a limit from the catalogue in the unit of its figure, as ``342 MB``."""
    return _write(metric, value, LIMIT_DIGITS)


def _write(metric: str, value: float, digits: int) -> str:
    write = _WRITERS.get(metric)
    return write(value, digits) if write else number(value, digits=digits)


def _whole(value: float, _digits: int) -> str:
    return f"{value:,.0f}"


def _ratio(value: float, digits: int) -> str:
    return number(round(value, 3) if digits == DIGITS else value, digits=LIMIT_DIGITS)


_WRITERS: dict[str, Callable[[float, int], str]] = {
    "compared_tokens": _whole,
    "broken_positions": _whole,
    "answered_prompts": _whole,
    "top1_agreement": percent,
    "perplexity_ratio": _ratio,
    "lost_prompts": percent,
    "lost_questions": percent,
    "answer_length_ratio": _ratio,
    "size_bytes": size,
    "load_seconds": duration,
    "time_to_first_token_ms": latency,
    "prefill_tokens_per_second": speed,
    "decode_tokens_per_second": speed,
    "joules_per_1000_tokens": energy,
    "peak_memory_bytes": size,
    "median_latency_ms": latency,
    "tokens_per_second": speed,
    "champion_speed_ratio": _ratio,
    "stop_rate_loss": percent,
    "loop_rate_gain": percent,
    "refusal_rate_gain": percent,
}
