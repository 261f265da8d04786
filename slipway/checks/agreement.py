"""How far two wrappers give the same answers to the same questions. Pure.

The two are rarely asked under equal limits: the transformers wrapper is told no stop texts, and
the prompt contract knows neither those nor a limit of each prompt's own. So answers are compared
as far as both go.
"""

from collections.abc import Sequence
from statistics import mean
from typing import NamedTuple

from slipway.checks import answer_table
from slipway.values import Answers, CheckResult, Prompt, VariantPrecision

BROKEN = (
    "\N{REPLACEMENT CHARACTER}"  # one library writes it for half a character, the other nothing
)

#: Fewer ends at other places than this, or no more than this share of all, may come of rounding:
#: SmolLM2 135M in int4 moved the only end that could be compared.
LEAST_OTHER_ENDS, MOST_OTHER_ENDS = 3, 0.5

#: Least share of the reference's text before the first difference, as a mean over the prompts.
#: Measured with SmolLM2 135M on the 17 general prompts: 100 % in fp32, 73 % in int8, and 19 % in
#: a naive int4 that drifts into repetition.
LEAST_AGREEMENT = {"fp32": 0.9, "fp16": 0.5, "int8": 0.5, "int4": 0.5}


class ComparedAnswer(NamedTuple):
    """One answer, as far as it can be compared.

    Attributes:
        text: Without whitespace and broken characters, up to the first stop text.
        finish_reason: What the wrapper says; None where it says nothing, or was stopped by a text.
        tokens: New tokens; None where the wrapper counts none.
        limited: Whether a token limit or a stop text may have cut it.
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
        """Whether ONNX goes on where the reference ended; what it adds may be invisible."""
        return _ended_before(self.transformers, self.onnx)

    @property
    def ends_early(self) -> bool:
        """Whether ONNX ended where the reference goes on."""
        return _ended_before(self.onnx, self.transformers)

    @property
    def agrees(self) -> bool:
        """Whether both say the same as long as both speak."""
        return self.common == min(len(self.onnx.text), len(self.transformers.text))

    @property
    def same(self) -> bool:
        """Whether no reader could tell the answers apart, apart from where they were cut."""
        return self.agrees and not self.goes_on and not self.ends_early

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
    """Return how many items two sequences have in common before they part."""
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
    """Check that answers that agree end at the same place.

    Rounded weights may end an answer elsewhere, now and then: that is a ``warning``, as it is when
    the token limit cut every answer, so that no end was seen.
    """
    agreeing = [pair for pair in compared if pair.agrees]
    ends = [pair for pair in agreeing if pair.ends_early or not pair.transformers.limited]
    late = sum(pair.goes_on for pair in ends)
    early = sum(pair.ends_early for pair in ends)
    few = late + early <= max(LEAST_OTHER_ENDS - 1, MOST_OTHER_ENDS * len(ends))
    holds = bool(ends) and not late + early
    seen = f"of {len(ends)} ends, onnx goes on after {late} and comes early to {early}"
    return CheckResult(
        name="an answer that ends in one wrapper ends in the other",
        severity="warning" if few and not holds else "critical",
        passed=holds if ends else None,
        failing=tuple(pair.prompt_id for pair in ends if pair.goes_on or pair.ends_early),
        observed=seen if ends else "no end to compare",
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
    """Whether ``one`` ended by itself and ``other`` goes on from there.

    After equal texts only the reasons tell, and those only where the numbers of tokens differ too:
    MLflow says ``length`` of an answer whose end token was the last that its limit allowed.
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
