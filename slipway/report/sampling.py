"""What a report says about sampled answers."""

from collections.abc import Iterator

from slipway.checks.sampled_rates import power
from slipway.evaluation import units
from slipway.values import DeclaredSampling, ReleaseSummary, SampledComparison, SampleRates

#: Losses whose detection is stated, as shares of all answers.
LOSSES = (0.2, 0.5)

TITLES = (
    "Sampled answers",
    "Ended by an end token",
    "Loops",
    "Refuses",
    "Mean length in tokens",
)


def sentences(summary: ReleaseSummary) -> Iterator[str]:
    """Yield how answers were sampled and what that can find, or why none were."""
    compared = summary.report.sampled
    if compared is None:
        known = summary.report.transformers.answers is not None
        yield "The source declares no sampling." if known else "The source could not be asked."
        yield "So nothing was sampled."
        if known:
            yield "If its card recommends a temperature, set sampling in its entry."
        return
    yield f"Both answered the same prompts with fixed seeds at {in_words(compared.sampling)}."
    limit = next((each.limit for each in summary.gates if each.metric == "stop_rate_loss"), None)
    if limit is not None and (answers := compared.source.answers):
        yield _power(answers, limit)


def in_words(sampling: DeclaredSampling) -> str:
    """Return the values as ``temperature 0.2, top_p 0.9, top_k 50``."""
    return ", ".join(f"{name} {value:g}" for name, value in sampling)


def rows(compared: SampledComparison) -> list[tuple[str, str, str]]:
    """Return the title of each figure, and its values for the candidate and the source."""
    cells = _cells(compared.candidate), _cells(compared.source)
    return list(zip(TITLES, *cells, strict=True))


def _cells(rates: SampleRates) -> tuple[str, ...]:
    counts = (rates.stopped, rates.looped, rates.refused)
    if not rates.answers:
        return "0", *[units.NOT_MEASURED] * (len(counts) + 1)
    shares = (units.percent(each / rates.answers) for each in counts)
    return str(rates.answers), *shares, units.number(rates.mean_tokens)


def _power(answers: int, limit: float) -> str:
    found = (
        f"a loss of {loss * 100:g} points in {units.percent(power(answers, loss, limit))}"
        for loss in LOSSES
    )
    return f"With these {answers} answers, the gate finds {' and '.join(found)} of releases."
