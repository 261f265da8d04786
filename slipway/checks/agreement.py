"""How far two wrappers give the same answers to the same prompts. Pure.

The wrappers rarely have equal limits: the transformers wrapper receives no stop texts, and the
prompt contract has neither stop texts nor a limit for each prompt. So answers are compared up to
the end of the shorter one.
"""

from collections.abc import Sequence
from statistics import mean
from typing import NamedTuple

import numpy as np

from slipway.checks import answer_table
from slipway.evaluation import statistics
from slipway.values import Answers, CheckResult, Estimate, Prompt, VariantPrecision

#: For half a character, one library writes this character, and the other nothing.
BROKEN = "\N{REPLACEMENT CHARACTER}"

#: Fewer different ends than this, or at most this share of all ends, may be due to rounding:
#: in SmolLM2 135M in int4, the only end that could be compared was different.
LEAST_DIFFERENT_ENDS, MOST_DIFFERENT_ENDS = 3, 0.5

#: Least share of the reference's text before the first difference, as a mean over the prompts.
#: Measured with SmolLM2 135M on the 17 general prompts: 100 % in fp32, 73 % in int8, and 19 % in
#: a naive int4 that repeats itself.
LEAST_AGREEMENT = {"fp32": 0.9, "fp16": 0.5, "int8": 0.5, "int4": 0.5}


class ComparedAnswer(NamedTuple):
    """One answer, as far as it can be compared.

    Attributes:
        text: Without whitespace and broken characters, up to the first stop text.
        finish_reason: The wrapper's; None if it reports none, or if a stop text ended the answer.
        tokens: New tokens; None if the wrapper counts none.
        limited: Whether a token limit or a stop text may have cut the answer.
    """

    text: str
    finish_reason: str | None
    tokens: int | None
    limited: bool


class Pair(NamedTuple):
    """Two answers to one prompt."""

    prompt_id: str
    onnx: ComparedAnswer
    transformers: ComparedAnswer

    @property
    def goes_on(self) -> bool:
        """Whether ONNX continues where the reference ended; the added text may be invisible."""
        return _ended_before(self.transformers, self.onnx)

    @property
    def ends_early(self) -> bool:
        """Whether ONNX ended where the reference continues."""
        return _ended_before(self.onnx, self.transformers)

    @property
    def agrees(self) -> bool:
        """Whether both texts are equal up to the end of the shorter one."""
        return self.common == min(len(self.onnx.text), len(self.transformers.text))

    @property
    def same(self) -> bool:
        """Whether the answers differ only in where they were cut."""
        return self.agrees and not self.goes_on and not self.ends_early

    @property
    def length(self) -> int:
        """Characters of ONNX's answer that the reference could have said as well."""
        ours, theirs = len(self.onnx.text), len(self.transformers.text)
        if self.transformers.limited:
            return theirs if self.onnx.limited else min(ours, theirs)
        return ours

    @property
    def common(self) -> int:
        """Characters before the first difference."""
        return common_length(self.onnx.text, self.transformers.text)

    @property
    def agreement(self) -> float:
        """Share of the reference's text before the first difference, 0 to 1."""
        if self.agrees and not self.ends_early:
            return 1.0
        return self.common / max(len(self.transformers.text), 1)


def common_length(left: Sequence[object], right: Sequence[object]) -> int:
    """Return the length of the common beginning of two sequences."""
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return place
    return min(len(left), len(right))


def pairs(onnx: Answers, transformers: Answers, prompts: tuple[Prompt, ...]) -> tuple[Pair, ...]:
    """Return both answers to every prompt that both answered."""
    both = zip(
        prompts,
        answer_table.rows(onnx, prompts),
        answer_table.rows(transformers, prompts),
        strict=False,
    )
    return tuple(
        Pair(prompt.id, _answer(ours, prompt), _answer(theirs, prompt))
        for prompt, ours, theirs in both
        if ours["output"] is not None and theirs["output"] is not None
    )


def same_ends(compared: tuple[Pair, ...]) -> CheckResult:
    """Check that answers that agree end at the same position.

    Rounded weights may end an answer elsewhere now and then, which is a ``warning``. So is a limit
    that cut every answer, so that there is no end to compare.
    """
    agreeing = [pair for pair in compared if pair.agrees]
    ends = [pair for pair in agreeing if pair.ends_early or not pair.transformers.limited]
    late = sum(pair.goes_on for pair in ends)
    early = sum(pair.ends_early for pair in ends)
    few = late + early <= max(LEAST_DIFFERENT_ENDS - 1, MOST_DIFFERENT_ENDS * len(ends))
    holds = bool(ends) and not late + early
    counts = f"of {len(ends)} ends, onnx continues after {late} and is early at {early}"
    return CheckResult(
        name="an answer that ends in one wrapper ends in the other",
        severity="warning" if few and not holds else "critical",
        passed=holds if ends else None,
        failing=tuple(pair.prompt_id for pair in ends if pair.goes_on or pair.ends_early),
        observed=counts if ends else "no end to compare",
    )


def length_ratio(compared: tuple[Pair, ...]) -> Estimate | None:
    """Return the mean length of ONNX's answers, as a multiple of the reference's.

    Lengths are characters without whitespace. Where a limit cut the reference, ONNX counts up to
    the same length; where a limit cut both, their lengths are the same.

    Returns:
        None if the reference said nothing.
    """
    return statistics.ratio_of_sums(
        np.array([pair.length for pair in compared], dtype=np.float64),
        np.array([len(pair.transformers.text) for pair in compared], dtype=np.float64),
    )


def same_answers(compared: tuple[Pair, ...], precision: VariantPrecision) -> CheckResult:
    """Check how far greedy answers agree."""
    other = tuple(pair.prompt_id for pair in compared if not pair.same)
    share = mean(pair.agreement for pair in compared) if compared else 0.0
    holds = share >= LEAST_AGREEMENT[precision]
    return CheckResult(
        name=f"greedy answers agree for {LEAST_AGREEMENT[precision]:.0%} of their length",
        severity="critical" if precision == "fp32" else "warning",
        passed=holds if compared else None,
        failing=() if holds else other,
        observed=f"{len(compared) - len(other)} of {len(compared)} are the same, {share:.0%} agree",
    )


def _ended_before(one: ComparedAnswer, other: ComparedAnswer) -> bool:
    """Return whether ``one`` ended by itself and ``other`` continues from there.

    For equal texts only the reasons differ, and they count only if the numbers of tokens differ
    too: MLflow reports ``length`` for an answer whose end token was the last within its limit.
    """
    if one.text == other.text:
        reasons = (one.finish_reason, other.finish_reason)
        return reasons == ("stop", "length") and one.tokens != other.tokens
    return not one.limited and other.text.startswith(one.text)


def _answer(row: answer_table.Row, prompt: Prompt) -> ComparedAnswer:
    output, reason, tokens = str(row["output"]), row["finish_reason"], row["completion_tokens"]
    found = [at for text in prompt.stop if (at := output.find(text)) >= 0]
    shown = output[: min(found)] if found else output
    cut = bool(found) or row["stop_respected"] is not None
    return ComparedAnswer(
        text="".join(shown.replace(BROKEN, "").split()),
        finish_reason=None if cut or reason is None else str(reason),
        tokens=None if tokens is None else int(tokens),
        limited=cut or reason == "length",
    )
