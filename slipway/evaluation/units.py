"""Figures as people read them: three digits, a unit, and no number where none was measured."""

import math
from collections.abc import Callable

from slipway.values import Estimate, Metric

NOT_MEASURED, ABSENT = "not measured", "—"

#: Every figure by the name that people know it by.
TITLES: dict[Metric, str] = {
    "compared_tokens": "Tokens compared with the source",
    "broken_positions": "Positions without finite logits",
    "kl_mean": "KL divergence from the source, mean",
    "kl_p99": "KL divergence, 99th percentile",
    "top1_agreement": "Same likeliest token as the source",
    "perplexity_ratio": "Perplexity, times the source's",
    "first_divergence_tokens": "Greedy tokens before the first that differs",
    "max_logit_difference": "Largest difference of a logit",
    "size_bytes": "Size",
    "load_seconds": "Load time",
    "time_to_first_token_ms": "Time to the first token",
    "prefill_tokens_per_second": "Speed of reading a prompt",
    "decode_tokens_per_second": "Speed of writing",
    "peak_memory_bytes": "Peak memory",
    "answered_prompts": "Prompts answered",
    "median_latency_ms": "Median time of an answer",
    "tokens_per_second": "Speed of whole answers",
}

_BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_COUNTS = ((1e9, "billion"), (1e6, "million"), (1e3, "thousand"))


def measured(value: float | None) -> float | None:
    """Return ``value``, or None where it is no finite number."""
    return value if value is not None and math.isfinite(value) else None


def number(value: float, unit: str = "") -> str:
    """Write ``value`` with three digits, as ``21.4 tokens/s``."""
    return f"{float(f'{value:.3g}'):,g} {unit}".rstrip()


def size(size_bytes: float | None) -> str:
    """Write bytes in decimal units, as ``269 MB``."""
    return _scaled(size_bytes, _BYTES, "B")


def count(value: float) -> str:
    """Write a large count, as ``135 million``."""
    return _scaled(value, _COUNTS, "")


def duration(seconds: float | None) -> str:
    """Write a time, as ``410 ms``, ``12.3 s`` or ``3 min 20 s``."""
    seconds = measured(seconds)
    if seconds is None:
        return NOT_MEASURED
    if seconds < 1:
        return number(seconds * 1000, "ms")
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return number(seconds, "s")
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:,} min {rest} s"


def latency(latency_ms: float | None) -> str:
    """Write a time that is given in milliseconds."""
    return duration(None if latency_ms is None else latency_ms / 1000)


def speed(tokens_per_second: float | None) -> str:
    """Write a speed of generation, as ``21.4 tokens/s``."""
    tokens_per_second = measured(tokens_per_second)
    return NOT_MEASURED if tokens_per_second is None else number(tokens_per_second, "tokens/s")


def percent(ratio: float | None) -> str:
    """Write a share, as ``51 %``."""
    ratio = measured(ratio)
    return NOT_MEASURED if ratio is None else number(ratio * 100, "%")


def figure(metric: Metric, estimate: Estimate | None) -> str:
    """Write a figure in its unit, with its interval if it has one: ``0.57 (0.53 to 0.61)``."""
    write = _WRITERS.get(metric, number)
    if estimate is None or measured(estimate.value) is None:
        return NOT_MEASURED
    value, low, high = map(write, (estimate.value, estimate.low, estimate.high))
    return value if low == high else f"{value} ({low} to {high})"


def brief(metric: Metric, estimate: Estimate | None) -> str:
    """Write a figure for a narrow column: only the KL divergence, which decides, has room for more.

    Args:
        metric: Which figure.
        estimate: The figure; None becomes a dash.
    """
    if estimate is None:
        return ABSENT
    return figure(metric, estimate if metric == "kl_mean" else Estimate.exact(estimate.value))


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _thousandths(value: float) -> str:
    return f"{value:.3f}"


_WRITERS: dict[Metric, Callable[[float], str]] = {
    "compared_tokens": _whole,
    "broken_positions": _whole,
    "answered_prompts": _whole,
    "top1_agreement": percent,
    "perplexity_ratio": _thousandths,
    "size_bytes": size,
    "load_seconds": duration,
    "time_to_first_token_ms": latency,
    "prefill_tokens_per_second": speed,
    "decode_tokens_per_second": speed,
    "peak_memory_bytes": size,
    "median_latency_ms": latency,
    "tokens_per_second": speed,
}


def _scaled(value: float | None, scales: tuple[tuple[float, str], ...], unit: str) -> str:
    value = measured(value)
    if value is None:
        return NOT_MEASURED
    factor, unit = next((scale for scale in scales if value >= scale[0]), (1, unit))
    return number(value / factor, unit)
