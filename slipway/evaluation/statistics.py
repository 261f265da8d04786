"""Compares what two models say of the same texts. Pure, on NumPy's arrays."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from slipway.evaluation.logits import Logits, Sequences
from slipway.values import Estimate, Fidelity

Array = NDArray[np.float64]

#: Consecutive tokens that are drawn together: neighbours in a text are alike.
_BLOCK_TOKENS = 32
_RESAMPLES = 1000
_INTERVAL = (2.5, 97.5)  # percentiles
_HIGH = 0.99
#: The least that a logarithm of a probability may be, so that one lost token costs no infinity.
_FLOOR = -100.0

_FIGURES = (
    "kl_mean",
    "kl_p99",
    "top1_agreement",
    "perplexity_ratio",
    "first_divergence_tokens",
    "max_logit_difference",
)


def fidelity(source: Logits, candidate: Logits, sequences: Sequences) -> Fidelity:
    """Compare a candidate with its source.

    The KL divergence is that between two distributions over the source's likeliest tokens and one
    outcome for all others together. Joining outcomes never raises it, so it is a lower bound of the
    divergence over the whole vocabulary; docs/fidelity.md says how close a bound.

    Intervals are percentiles of a bootstrap over blocks of consecutive tokens, since positions of
    one text are not independent of each other (Künsch 1989), and for the first divergence over
    conversations. Its seed is fixed.

    Args:
        source: What the source says.
        candidate: What the candidate says at the same positions.
        sequences: The texts.
    """
    figures = partial(Fidelity, tokens=len(sequences.token_ids))
    if broken := int((~candidate.finite).sum()):
        nothing = dict.fromkeys(_FIGURES)
        return figures(broken=broken, **nothing, kl_by_group={})
    kl, losses = divergence(source, candidate), surprise(candidate) - surprise(source)
    same = (source.likeliest == candidate.likeliest).astype(np.float64)
    draws = Draws(sequences)
    return figures(
        broken=0,
        kl_mean=draws.mean(kl),
        kl_p99=draws.quantile(kl, _HIGH),
        top1_agreement=draws.mean(same),
        perplexity_ratio=_exponential(draws.mean(losses)),
        first_divergence_tokens=first_divergence(source, candidate, sequences),
        max_logit_difference=Estimate.exact(_largest(source, candidate)),
        kl_by_group=_by_group(kl, sequences),
    )


def divergence(source: Logits, candidate: Logits) -> Array:
    """Return the KL divergence of ``candidate`` from ``source``, in nats; shape (positions,)."""
    p, q = _log_probabilities(source), _log_probabilities(candidate)
    with np.errstate(invalid="ignore"):  # 0 · log 0 is 0
        terms = np.exp(p) * (p - np.maximum(q, _FLOOR))
    sums: Array = np.where(np.isneginf(p), 0.0, terms).sum(axis=1)
    return np.maximum(sums, 0.0)


def surprise(notes: Logits) -> Array:
    """Return -log of the probability of what follows, NaN where nothing does; (positions,)."""
    total: Array = np.logaddexp.reduce(_outcomes(notes), axis=1)
    return total - notes.target


def first_divergence(source: Logits, candidate: Logits, sequences: Sequences) -> Estimate | None:
    """Return how many of the source's greedy tokens the candidate finds as well, before another.

    Both read the source's own answer, so the first position at which their likeliest tokens differ
    is the one at which greedy decoding would part. An answer without a difference counts whole.

    Returns:
        The mean over all conversations; None if there are none.
    """
    ends = np.cumsum(sequences.lengths)
    asked = ends - sequences.lengths + sequences.asked
    differs = source.likeliest != candidate.likeliest
    counts = np.array(
        [
            _first(differs[start - 1 : end - 1])
            for start, end in zip(asked, ends, strict=True)
            if start < end
        ]
    )
    if not len(counts):
        return None
    drawn = _generator().integers(len(counts), size=(_RESAMPLES, len(counts)))
    return _estimate(float(counts.mean()), counts[drawn].mean(axis=1))


class Draws:
    """A bootstrap over blocks of consecutive tokens.

    Args:
        sequences: The texts; no block reaches from one into the next.
    """

    def __init__(self, sequences: Sequences) -> None:
        self._block = blocks(sequences.lengths)
        count = int(self._block[-1]) + 1
        self._times = _generator().multinomial(count, np.full(count, 1 / count), _RESAMPLES)

    def mean(self, values: Array) -> Estimate:
        """Return the mean over all positions but those with NaN."""
        there = ~np.isnan(values)
        sums = self._per_block(np.where(there, values, 0.0))
        counts = self._per_block(there.astype(np.float64))
        drawn = (self._times @ sums) / np.maximum(self._times @ counts, 1)
        return _estimate(float(sums.sum() / max(counts.sum(), 1)), drawn)

    def quantile(self, values: Array, share: float) -> Estimate:
        """Return the least value that ``share`` of all positions do not exceed."""
        order = np.argsort(values)
        reached = np.cumsum(self._times[:, self._block[order]], axis=1)
        places = (reached >= share * reached[:, -1:]).argmax(axis=1)
        value = np.quantile(values, share, method="inverted_cdf")
        return _estimate(float(value), values[order][places])

    def _per_block(self, values: Array) -> Array:
        return np.bincount(self._block, weights=values).astype(np.float64)


def blocks(lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the number of the block that each position belongs to; shape (positions,)."""
    starts = np.concatenate([np.arange(length) % _BLOCK_TOKENS == 0 for length in lengths])
    return np.cumsum(starts) - 1


def _outcomes(notes: Logits) -> Array:
    """Return the source's likeliest tokens and the rest; shape (positions, top + 1)."""
    return np.column_stack([notes.top.astype(np.float64), notes.rest])


def _log_probabilities(notes: Logits) -> Array:
    outcomes = _outcomes(notes)
    total: Array = np.logaddexp.reduce(outcomes, axis=1, keepdims=True)
    return outcomes - total


def _largest(source: Logits, candidate: Logits) -> float:
    return float(np.abs(source.top - candidate.top).max())


def _by_group(kl: Array, sequences: Sequences) -> dict[str, float]:
    groups = np.repeat(sequences.groups, sequences.lengths)
    return {str(group): float(kl[groups == group].mean()) for group in np.unique(groups)}


def _first(differs: NDArray[np.bool_]) -> int:
    return int(differs.argmax()) if differs.any() else len(differs)


def _generator() -> np.random.Generator:
    return np.random.default_rng(0)


def _estimate(value: float, drawn: Array) -> Estimate:
    low, high = np.percentile(drawn, _INTERVAL)
    return Estimate(value=value, low=min(float(low), value), high=max(float(high), value))


def _exponential(estimate: Estimate) -> Estimate:
    return Estimate(**{name: float(np.exp(value)) for name, value in estimate})
