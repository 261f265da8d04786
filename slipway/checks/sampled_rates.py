"""How often sampled answers of a candidate end, loop and refuse, beside its source's. Pure."""

from functools import cache

import scipy

from slipway.checks.answer_table import repetition
from slipway.values import (
    Answers,
    Battery,
    Estimate,
    Figures,
    SampledComparison,
    SampleRates,
    Samples,
)

#: An answer loops if one phrase, said three times or more, covers more than this share of it; the
#: suites warn from here on. Holtzman et al., "The Curious Case of Neural Text Degeneration" (2020),
#: count a phrase that a text ends with three times.
LOOP_SHARE = 0.5

#: An answer refuses if one of these is in its first characters, in whatever letter case. They are
#: English, and of those that Zou et al., "Universal and Transferable Adversarial Attacks on Aligned
#: Language Models" (2023), look for.
REFUSALS = (
    *("i'm sorry", "i am sorry", "i apologize", "i cannot", "i can't", "i can not", "i won't"),
    *("i'm unable", "i am unable", "i'm not able", "i am not able", "as an ai"),
)
_REFUSAL_CHARACTERS, _APOSTROPHE = 80, "\N{RIGHT SINGLE QUOTATION MARK}"


def battery_of(source: Answers | None) -> Battery | None:
    """Return what the candidate is to sample: what its source did; None if that sampled nothing."""
    if source is None or source.samples is None:
        return None
    return Battery(sampling=source.samples.sampling, prompt_ids=source.samples.prompt_ids)


def compare(source: Answers | None, candidate: Answers | None) -> SampledComparison | None:
    """Compare the sampled answers of both wrappers.

    Args:
        source: Of the transformers wrapper; None if it could not be asked.
        candidate: Of the ONNX wrapper.

    Returns:
        None if the source sampled nothing, since no sampling is declared. Without answers of one
        of both there are no figures, and their gates are inconclusive.
    """
    if source is None or source.samples is None:
        return None
    theirs = rates(source.samples)
    ours = rates(candidate.samples if candidate else None)
    return SampledComparison(
        sampling=source.samples.sampling,
        source=theirs,
        candidate=ours,
        figures=figures(theirs, ours),
    )


def rates(samples: Samples | None) -> SampleRates:
    """Return how often the answers end, loop and refuse."""
    answers = samples.answers if samples else ()
    return SampleRates(
        answers=len(answers),
        stopped=sum(each.stopped for each in answers),
        looped=sum(repetition(each.text) > LOOP_SHARE for each in answers),
        refused=sum(refuses(each.text) for each in answers),
        mean_tokens=sum(each.tokens for each in answers) / max(len(answers), 1),
    )


def refuses(text: str) -> bool:
    """Return whether an answer begins as a refusal does; an "I'm sorry" of sympathy counts too."""
    beginning = text[:_REFUSAL_CHARACTERS].lower().replace(_APOSTROPHE, "'")
    return any(each in beginning for each in REFUSALS)


def figures(source: SampleRates, candidate: SampleRates) -> Figures:
    """Return by how much the candidate ends less often, and loops and refuses more often."""
    if not source.answers or not candidate.answers:
        return {}
    return {
        "stop_rate_loss": excess(
            source.stopped, source.answers, candidate.stopped, candidate.answers
        ),
        "loop_rate_gain": excess(
            candidate.looped, candidate.answers, source.looped, source.answers
        ),
        "refusal_rate_gain": excess(
            candidate.refused, candidate.answers, source.refused, source.answers
        ),
    }


@cache
def excess(count: int, of: int, other: int, of_other: int) -> Estimate:
    """Return by how much one rate exceeds another; 0 where it does not.

    The 95 % interval is the tenth method of Newcombe, "Interval estimation for the difference
    between independent proportions", Statistics in Medicine 17 (1998): it holds for few samples and
    for rates of 0 and 1, where a bootstrap has no width.
    """
    rate, rate_other = count / of, other / of_other
    ours = scipy.stats.binomtest(count, of).proportion_ci(method="wilson")
    theirs = scipy.stats.binomtest(other, of_other).proportion_ci(method="wilson")
    difference = rate - rate_other
    below = ((rate - ours.low) ** 2 + (theirs.high - rate_other) ** 2) ** 0.5
    above = ((ours.high - rate) ** 2 + (rate_other - theirs.low) ** 2) ** 0.5
    low, value, high = (
        max(each, 0.0) for each in (difference - below, difference, difference + above)
    )
    return Estimate(value=value, low=low, high=high)


def power(answers: int, loss: float, limit: float) -> float:
    """Return in which share of releases a candidate that ends less often does not pass its gate.

    Args:
        answers: Of the candidate, and as many of a source that always ends.
        loss: Share of the candidate's answers that do not end.
        limit: Of the gate.
    """
    misses = scipy.stats.binom(answers, loss)
    passing = (
        missed
        for missed in range(answers + 1)
        if excess(answers, answers, answers - missed, answers).high <= limit
    )
    return float(1 - sum(misses.pmf(missed) for missed in passing))
