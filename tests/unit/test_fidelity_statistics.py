"""The comparison's figures are those that whole rows of logits give, and obey their laws."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from slipway.evaluation import logits as logits_module
from slipway.evaluation import statistics
from slipway.evaluation.logits import Logits, Sequences
from slipway.values import Estimate, Fidelity

VOCABULARY = 40
TOP = 8


class Case:
    """Logits of a made-up source and candidate over made-up texts, as whole rows.

    Args:
        seed: Another one makes other logits.
        lengths: Tokens of each text.
        answers: Of these, how many are the source's own answer.
        noise: How far the candidate is off.
    """

    def __init__(
        self, seed: int, lengths: list[int], answers: list[int], noise: float = 0.5
    ) -> None:
        random = np.random.default_rng(seed)
        count = sum(lengths)
        self.source = random.normal(0, 3, (count, VOCABULARY)).astype(np.float32)
        off = random.normal(0, noise, self.source.shape)
        self.candidate = (self.source + off).astype(np.float32)
        token_ids = random.integers(VOCABULARY, size=count, dtype=np.int32)
        asked = np.array(lengths, np.int32) - np.array(answers, np.int32)
        groups = np.array([f"group {place % 2}" for place in range(len(lengths))])
        self.sequences = Sequences(token_ids, np.array(lengths, np.int32), asked, groups)

    def kept(self, logits: Any, top: int = TOP) -> Logits:
        """Return the notes of whole rows."""
        top_ids = np.argsort(-self.source, axis=1)[:, :top].astype(np.int32)
        targets = np.concatenate([logits_module.following(each) for each in self.sequences])
        return logits_module.note(logits, top_ids, targets)

    def compared(self, top: int = TOP) -> Fidelity:
        """Return the comparison from notes."""
        source, candidate = self.kept(self.source, top), self.kept(self.candidate, top)
        return statistics.fidelity(source, candidate, self.sequences)


def exact_divergence(case: Case) -> Any:
    """Return the KL divergence over the whole vocabulary, by SciPy."""
    p, q = (special.softmax(each.astype(float), axis=1) for each in (case.source, case.candidate))
    return special.rel_entr(p, q).sum(axis=1)


@pytest.fixture(scope="module")
def case() -> Case:
    """Four texts, two of which end with an answer of the source's."""
    return Case(1, [96, 50, 33, 64], [0, 20, 0, 24])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw texts of all lengths, with and without answers, and a candidate near or far."""
    lengths = draw(st.lists(st.integers(2, 70), min_size=1, max_size=5))
    answers = [draw(st.integers(0, length - 1)) for length in lengths]
    return Case(draw(st.integers(0, 10**6)), lengths, answers, draw(st.sampled_from([0.01, 1, 9])))


def values(compared: Fidelity) -> dict[str, float]:
    """Return every figure without its interval."""
    return {name: each.value for name, each in compared if isinstance(each, Estimate)}


def test_with_every_token_kept_the_divergence_is_that_of_whole_rows(case: Case) -> None:
    """To the last digits of what SciPy computes."""
    compared = case.compared(top=VOCABULARY)

    exact = exact_divergence(case)
    assert compared.kl_mean is not None
    assert compared.kl_p99 is not None
    assert compared.kl_mean.value == pytest.approx(exact.mean(), rel=1e-6)
    high = np.quantile(exact, 0.99, method="inverted_cdf")
    assert compared.kl_p99.value == pytest.approx(high, rel=1e-5)
    for group in ("group 0", "group 1"):
        where = np.repeat(case.sequences.groups, case.sequences.lengths) == group
        assert compared.kl_by_group[group] == pytest.approx(exact[where].mean(), rel=1e-6)


def test_perplexity_and_agreement_need_no_more_than_the_notes(case: Case) -> None:
    """They are those of whole rows, however few tokens are kept."""
    compared = case.compared(top=2)

    follows = np.concatenate([logits_module.following(each) for each in case.sequences])
    there = np.flatnonzero(follows >= 0)
    loss = [
        -special.log_softmax(each.astype(float), axis=1)[there, follows[there]].mean()
        for each in (case.source, case.candidate)
    ]
    same = case.source.argmax(axis=1) == case.candidate.argmax(axis=1)
    assert compared.perplexity_ratio is not None
    assert compared.top1_agreement is not None
    assert compared.perplexity_ratio.value == pytest.approx(np.exp(loss[1] - loss[0]), rel=1e-6)
    assert compared.top1_agreement.value == pytest.approx(same.mean())


def test_the_largest_logit_difference_is_among_the_sources_likeliest(case: Case) -> None:
    """What happens to a token that nobody would say is nobody's concern."""
    compared = case.compared(top=3)

    ids = np.argsort(-case.source, axis=1)[:, :3]
    off = np.take_along_axis(case.source - case.candidate, ids, axis=1)
    assert compared.max_logit_difference == Estimate.exact(float(np.abs(off).max()))


def test_the_first_divergence_counts_the_greedy_tokens_before_it() -> None:
    """One answer parts at its third token, the other never does and counts whole."""
    case = Case(2, [10, 12, 9], [4, 0, 6], noise=0)
    case.candidate[10 - 4 - 1 + 2] *= -1  # the row that chooses the answer's third token
    case.candidate[0] *= -1  # and one that chooses a token of the question

    compared = case.compared()

    assert compared.first_divergence_tokens == Estimate(value=(2 + 6) / 2, low=2, high=6)


def test_without_an_answer_there_is_no_first_divergence() -> None:
    """Not a zero, nor a perfect score."""
    compared = Case(3, [20, 20], [0, 0]).compared()

    assert compared.first_divergence_tokens is None


def test_the_interval_is_that_of_a_bootstrap_over_blocks() -> None:
    """As SciPy draws it from the means of blocks of the same length."""
    case = Case(4, [320, 640], [0, 0], noise=1)

    found = case.compared(top=VOCABULARY).kl_mean

    means = exact_divergence(case).reshape(-1, 32).mean(axis=1)
    drawn = stats.bootstrap(
        (means,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert found is not None
    assert found.low == pytest.approx(drawn.low, rel=0.01)
    assert found.high == pytest.approx(drawn.high, rel=0.01)


def test_neighbours_that_are_alike_make_the_interval_wider() -> None:
    """The same numbers, once scattered and once in runs: a run is little more than one number."""
    sequences = Case(5, [640], [0]).sequences
    values = np.repeat(np.random.default_rng(6).exponential(size=20), 32)
    scattered = np.random.default_rng(7).permutation(values)

    draws = statistics.Draws(sequences)
    in_runs, alone = draws.mean(values), draws.mean(scattered)

    assert in_runs.value == pytest.approx(alone.value)
    assert in_runs.high - in_runs.low > 3 * (alone.high - alone.low)


def test_no_block_reaches_into_the_next_text() -> None:
    """A text's last block is shorter instead."""
    numbers = statistics.blocks(np.array([33, 5, 64], np.int32))

    assert np.bincount(numbers).tolist() == [32, 1, 5, 32, 32]


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
def test_one_logit_that_is_not_finite_leaves_no_figure(case: Case, fault: float) -> None:
    """However good the others are; the count says at how many positions."""
    candidate = case.candidate.copy()
    candidate[[3, 7], [0, 5]] = fault

    compared = statistics.fidelity(case.kept(case.source), case.kept(candidate), case.sequences)

    assert compared.broken == 2
    assert values(compared) == {}
    assert compared.kl_by_group == {}


def test_a_token_that_the_candidate_lost_costs_much_and_not_infinitely() -> None:
    """A mean that is infinite could not be compared with anything."""
    case = Case(8, [40], [0], noise=0)
    case.candidate[0, case.source[0].argmax()] = -1e4

    compared = case.compared()

    assert compared.kl_mean is not None
    assert compared.kl_mean.value == pytest.approx(0.37, abs=0.01)


@settings(deadline=None, max_examples=30)
@given(cases())
def test_figures_keep_their_laws(case: Case) -> None:
    """No divergence is negative, shares are shares, and a value lies in its interval."""
    compared = case.compared()

    exact = exact_divergence(case).mean()
    assert compared.kl_mean is not None
    assert compared.top1_agreement is not None
    assert 0 <= compared.kl_mean.low <= compared.kl_mean.value <= compared.kl_mean.high
    assert compared.kl_mean.value <= exact * (1 + 1e-6) + 1e-9
    assert 0 <= compared.top1_agreement.low <= compared.top1_agreement.high <= 1
    for _, each in compared:
        assert not isinstance(each, Estimate) or each.low <= each.value <= each.high


@settings(deadline=None, max_examples=30)
@given(cases())
def test_what_is_compared_with_itself_is_the_same(case: Case) -> None:
    """With every figure at its best, and intervals without width."""
    case.candidate = case.source

    compared = case.compared()

    answers = case.sequences.lengths - case.sequences.asked
    longest = answers[answers > 0].mean() if answers.any() else None
    first = compared.first_divergence_tokens
    assert compared.kl_mean == compared.kl_p99 == compared.max_logit_difference
    assert compared.kl_mean == Estimate.exact(0)
    assert compared.top1_agreement == compared.perplexity_ratio == Estimate.exact(1)
    assert (first.value if first else None) == (longest if longest is None else approx(longest))


@settings(deadline=None, max_examples=30)
@given(cases(), st.integers(1, VOCABULARY - 1))
def test_joining_outcomes_never_raises_the_divergence(case: Case, top: int) -> None:
    """So what is reported is a lower bound, and keeping more tokens brings it closer."""
    fewer, more = case.compared(top).kl_mean, case.compared(top + 1).kl_mean

    assert fewer is not None
    assert more is not None
    assert fewer.value <= more.value * (1 + 1e-9) + 1e-9


@settings(deadline=None, max_examples=30)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_texts_changes_no_value(case: Case, random: Any) -> None:
    """Only what is drawn for the intervals depends on it."""
    before = case.compared()
    order = list(range(len(case.sequences.lengths)))
    random.shuffle(order)
    places = np.split(np.arange(len(case.source)), np.cumsum(case.sequences.lengths)[:-1])
    moved = np.concatenate([places[each] for each in order])
    case.source, case.candidate = case.source[moved], case.candidate[moved]
    per_text = {
        name: getattr(case.sequences, name)[order] for name in ("lengths", "asked", "groups")
    }
    token_ids = case.sequences.token_ids[moved]
    case.sequences = replace(case.sequences, token_ids=token_ids, **per_text)

    after = case.compared()

    assert values(after) == approx(values(before))
    assert after.kl_by_group == approx(before.kl_by_group)


@settings(deadline=None, max_examples=30)
@given(cases(), st.floats(-20, 20))
def test_raising_all_logits_alike_changes_no_probability(case: Case, height: float) -> None:
    """So no figure but the logits' own difference."""
    before = values(case.compared())
    case.candidate = (case.candidate + height).astype(np.float32)

    after = values(case.compared())

    assert {**after, "max_logit_difference": 0} == pytest.approx(
        {**before, "max_logit_difference": 0}, rel=1e-3, abs=1e-4
    )


def approx(expected: Any) -> Any:
    """Compare but for the rounding of sums."""
    return pytest.approx(expected, rel=1e-9, abs=1e-12)
