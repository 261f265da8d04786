"""Do both wrappers make the same of the same conversation? Pure.

Two wrappers of one model may differ in ways that no weight shows: another chat template, a token
too many at the start, an end that is not seen. What no reader of an answer would call a fault is
none here: whitespace and broken characters, which the two libraries decode in their own ways, an
answer that its token limit or a stop text cut, and end tokens that stand in another order.
"""

from collections.abc import Collection

from slipway.checks import agreement, answer_table
from slipway.values import (
    Answers,
    CheckResult,
    Prompt,
    PromptMessage,
    Rendering,
    Severity,
    VariantPrecision,
)

SHOWN_CHARACTERS = 20

Fault = tuple[str, str]  # id of a prompt, or nothing, and what is wrong there
TokenIds = tuple[int, ...]


def compare(
    onnx: Answers, transformers: Answers, prompts: tuple[Prompt, ...], precision: VariantPrecision
) -> tuple[CheckResult, ...]:
    """Hold both wrappers' answers to the same prompts against each other.

    Args:
        onnx: What the wrapper that serves answered.
        transformers: What the reference answered.
        prompts: What both were asked, greedily.
        precision: Type of the ONNX weights; only fp32 has to answer as the reference does.

    Returns:
        The same checks for every pair of wrappers. One is undecided when there is nothing to
        compare.
    """
    pairs = agreement.pairs(onnx, transformers, prompts)
    return (
        _same_text(_by_prompt(onnx), _by_prompt(transformers), prompts),
        _same_tokens(_by_prompt(onnx), _by_prompt(transformers)),
        _every_end(onnx.end_token_ids, transformers.end_token_ids),
        _no_other_end(onnx.end_token_ids, transformers.end_token_ids),
        agreement.same_ends(pairs),
        _true_usage((onnx, transformers), prompts),
        agreement.same_answers(pairs, precision),
    )


def _same_text(
    ours: dict[str, Rendering], theirs: dict[str, Rendering], prompts: tuple[Prompt, ...]
) -> CheckResult:
    """Compare the chat markup; texts of which both make the same tokens are as good as equal."""
    faults, asked = [], [prompt for prompt in prompts if prompt.id in ours.keys() | theirs.keys()]
    for prompt in asked:
        left, right = ours.get(prompt.id), theirs.get(prompt.id)
        if left is None or right is None:
            who = "onnx" if left is None else "transformers"
            faults.append((prompt.id, f"{who} refuses to render it"))
        elif left.text != right.text and left.token_ids != right.token_ids:
            difference = _text_difference(left.text, right.text, prompt.messages)
            faults.append((prompt.id, difference))
    comparable = asked if ours and theirs else ()
    return _check("both render a conversation to the same prompt", faults, comparable)


def _same_tokens(ours: dict[str, Rendering], theirs: dict[str, Rendering]) -> CheckResult:
    """Compare what the tokenizers make of the same text."""
    same = [name for name in ours if name in theirs and ours[name].text == theirs[name].text]
    faults = [
        (name, _token_difference(ours[name].token_ids, theirs[name].token_ids))
        for name in same
        if ours[name].token_ids != theirs[name].token_ids
    ]
    return _check("both make the same tokens of the same prompt", faults, same)


def _every_end(ours: TokenIds, theirs: TokenIds) -> CheckResult:
    """Look for tokens at which only the reference ends: beyond one, ONNX would talk on."""
    missing = sorted(set(theirs) - set(ours))
    faults = [("", f"onnx does not end at {missing}, only at {sorted(ours)}")] if missing else []
    return _check("onnx ends at every end token of transformers", faults, ours and theirs)


def _no_other_end(ours: TokenIds, theirs: TokenIds) -> CheckResult:
    """Look for tokens at which only ONNX ends; its builder adds the end of a turn on purpose."""
    extra = sorted(set(ours) - set(theirs))
    faults = [("", f"onnx ends at {extra} too")] if extra else []
    return _check("onnx ends at no other token", faults, ours and theirs, "warning")


def _true_usage(wrappers: tuple[Answers, ...], prompts: tuple[Prompt, ...]) -> CheckResult:
    """Compare the prompt tokens that a wrapper counts with those that it feeds its model."""
    faults, compared = [], []
    for answers in wrappers:
        fed = _by_prompt(answers)
        for row in answer_table.rows(answers, prompts)[: len(prompts)]:
            name, counted = str(row["prompt_id"]), row["prompt_tokens"]
            if counted is None or name not in fed:
                continue
            compared.append(name)
            if counted != (count := len(fed[name].token_ids)):
                faults.append((name, f"{answers.kind} counts {counted} tokens and feeds {count}"))
    return _check("the prompt tokens that are counted are those that are fed", faults, compared)


def _by_prompt(answers: Answers) -> dict[str, Rendering]:
    return {rendering.prompt_id: rendering for rendering in answers.renderings}


def _text_difference(ours: str, theirs: str, messages: tuple[PromptMessage, ...]) -> str:
    """Say which turn one of them leaves out, or else where they part."""
    for message in messages:
        held = [message.content.strip() in text for text in (ours, theirs)]
        if held[0] != held[1]:
            who = "transformers" if held[0] else "onnx"
            return f"{who} leaves out the {message.role} turn"
    at = agreement.common_length(ours, theirs)
    left, right = (text[at : at + SHOWN_CHARACTERS] for text in (ours, theirs))
    return f"character {at} on: onnx has {left!r}, transformers {right!r}"


def _token_difference(ours: TokenIds, theirs: TokenIds) -> str:
    """Say which kind of difference it is."""
    (who, longer), shorter = max(
        ((("onnx", ours), theirs), (("transformers", theirs), ours)),
        key=lambda each: len(each[0][1]),
    )
    extra = len(longer) - len(shorter)
    if extra == 1 and longer[1:] == shorter and longer[0] == longer[1]:
        return f"{who} has a doubled BOS, token {longer[0]}"
    if extra and longer[extra:] == shorter:
        return f"{who} has {_tokens(extra)} at the start: {[*longer[:extra]]}"
    if extra and longer[:-extra] == shorter:
        return f"{who} has {_tokens(extra)} at the end: {[*longer[-extra:]]}"
    at = agreement.common_length(ours, theirs)
    left, right = (str(ids[at]) if at < len(ids) else "nothing" for ids in (ours, theirs))
    return f"position {at}: onnx has {left}, transformers {right}"


def _tokens(count: int) -> str:
    return f"{count} extra special token{'s' if count > 1 else ''}"


def _check(
    name: str, faults: list[Fault], comparable: Collection[object], severity: Severity = "critical"
) -> CheckResult:
    if not comparable:
        return CheckResult(name=name, severity=severity, passed=None, observed="nothing to compare")
    failing = tuple(dict.fromkeys(prompt_id for prompt_id, _ in faults if prompt_id))
    observed = faults[0][1] if faults else ""
    return CheckResult(
        name=name, severity=severity, passed=not faults, failing=failing, observed=observed
    )
