"""Compares the logits of two models over the same texts. Pure, on NumPy's arrays."""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from slipway.evaluation.logits import Logits, Sequences
from slipway.values import Estimate, Fidelity

Array = NDArray[np.float64]

#: Consecutive tokens that are drawn together, since neighbours in a text are similar.
_BLOCK_TOKENS = 32
_RESAMPLES = 1000
_INTERVAL = (2.5, 97.5)  # percentiles
_HIGH = 0.99
#: Least probability of the candidate, so that one lost token does not make the mean infinite.
_LEAST_PROBABILITY = np.exp(-100.0)

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

    The KL divergence is computed over the source's likeliest tokens and one outcome for all other
    tokens together. Joining outcomes never raises it, so it is a lower bound of the divergence over
    the whole vocabulary; docs/fidelity.md says how close.

    Intervals are percentiles of a bootstrap over blocks of consecutive tokens, since positions of
    one text are not independent of each other (Künsch 1989). For the first divergence, the
    bootstrap is over conversations. Its seed is fixed.
    """
    figures = partial(Fidelity, tokens=len(sequences.token_ids))
    if broken := int((~candidate.finite).sum()):
        nothing = dict.fromkeys(_FIGURES)
        return figures(broken=broken, **nothing, kl_by_group={})
    kl, losses = divergence(source, candidate), surprisal(candidate) - surprisal(source)
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


def with_long_texts(found: Fidelity, long: Fidelity) -> Fidelity:
    """Return the figures with the divergence on the long texts, which no other figure includes.

    A position of a long text without finite logits leaves no figure either.
    """
    whole = found.model_copy(update=dict.fromkeys(_FIGURES)) if long.broken else found
    return whole.model_copy(
        update={
            "broken": found.broken + long.broken,
            "kl_long": None if found.broken else long.kl_mean,
            "kl_by_group": whole.kl_by_group | long.kl_by_group,
        }
    )


def divergence(source: Logits, candidate: Logits) -> Array:
    """Return the KL divergence of ``candidate`` from ``source``, in nats; shape (positions,)."""
    p, q = (special.softmax(_outcomes(each), axis=1) for each in (source, candidate))
    sums: Array = special.rel_entr(p, np.maximum(q, _LEAST_PROBABILITY)).sum(axis=1)
    return np.maximum(sums, 0.0)


def surprisal(logits: Logits) -> Array:
    """Return -log of the next token's probability, NaN at the end of a text; (positions,)."""
    total: Array = special.logsumexp(_outcomes(logits), axis=1)
    return total - logits.target


def first_divergence(source: Logits, candidate: Logits, sequences: Sequences) -> Estimate | None:
    """Return after how many tokens of the source's greedy answer the candidate's answer differs.

    Both read the source's own answer, so greedy decoding would differ first where their likeliest
    tokens differ first. An answer without a difference counts with all of its tokens.

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


def ratio_of_sums(values: Array, base: Array) -> Estimate | None:
    """Return the sum of values over that of their pairs; None if these are nothing.

    The interval is a bootstrap over pairs, with a fixed seed.
    """
    if not base.sum():
        return None
    drawn = _generator().integers(len(base), size=(_RESAMPLES, len(base)))
    ratios = values[drawn].sum(axis=1) / np.maximum(base[drawn].sum(axis=1), 1)
    return _estimate(float(values.sum() / base.sum()), ratios)


class Draws:
    """A bootstrap over blocks of consecutive tokens.

    Args:
        sequences: The texts; no block spans two of them.
    """

    def __init__(self, sequences: Sequences) -> None:
        self._block = blocks(sequences.lengths)
        count = int(self._block[-1]) + 1
        self._times = _generator().multinomial(count, np.full(count, 1 / count), _RESAMPLES)

    def mean(self, values: Array) -> Estimate:
        """Return the mean over all positions without NaN."""
        present = ~np.isnan(values)
        sums = self._per_block(np.where(present, values, 0.0))
        counts = self._per_block(present.astype(np.float64))
        drawn = (self._times @ sums) / np.maximum(self._times @ counts, 1)
        return _estimate(float(sums.sum() / max(counts.sum(), 1)), drawn)

    def quantile(self, values: Array, share: float) -> Estimate:
        """Return the least value that a ``share`` of all positions does not exceed."""
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


def _outcomes(logits: Logits) -> Array:
    """Return the logits of the source's likeliest tokens and of the rest; (positions, top + 1)."""
    return np.column_stack([logits.top.astype(np.float64), logits.rest])


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
