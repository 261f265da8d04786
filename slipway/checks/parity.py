"""Comparison of both wrappers of a model on the same prompts. Pure.

Two wrappers of the same weights may differ: in the chat template, by an extra token at the start,
by an end token that one of them misses. Differences that are invisible in the answer are ignored:
whitespace and broken characters, which the libraries decode differently, answers that a token limit
or a stop text cut, and the order of end tokens.
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

Fault = tuple[str, str]  # id of a prompt or an empty text, and a description
TokenIds = tuple[int, ...]


def compare(
    onnx: Answers, transformers: Answers, prompts: tuple[Prompt, ...], precision: VariantPrecision
) -> tuple[CheckResult, ...]:
    """Compare both wrappers' greedy answers to the same prompts.

    Args:
        onnx: Answers of the ONNX wrapper, which will be served.
        transformers: Answers of the transformers wrapper, the reference.
        prompts: The prompts of both.
        precision: Type of the ONNX weights; only fp32 has to answer like the reference.

    Returns:
        The same checks for every pair of wrappers. A check without anything to compare is
        undecided.
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
    """Compare the chat markup; texts with the same tokens count as equal."""
    faults, rendered = [], [prompt for prompt in prompts if prompt.id in {*ours, *theirs}]
    for prompt in rendered:
        left, right = ours.get(prompt.id), theirs.get(prompt.id)
        if left is None or right is None:
            who = "onnx" if left is None else "transformers"
            faults.append((prompt.id, f"{who} cannot render it"))
        elif left.text != right.text and left.token_ids != right.token_ids:
            difference = _text_difference(left.text, right.text, prompt.messages)
            faults.append((prompt.id, difference))
    comparable = rendered if ours and theirs else ()
    return _check("both render a conversation to the same prompt", faults, comparable)


def _same_tokens(ours: dict[str, Rendering], theirs: dict[str, Rendering]) -> CheckResult:
    """Compare the tokens of equal texts."""
    same = [name for name in ours if name in theirs and ours[name].text == theirs[name].text]
    faults = [
        (name, _token_difference(ours[name].token_ids, theirs[name].token_ids))
        for name in same
        if ours[name].token_ids != theirs[name].token_ids
    ]
    return _check("both make the same tokens of the same prompt", faults, same)


def _every_end(ours: TokenIds, theirs: TokenIds) -> CheckResult:
    """Find end tokens of the reference at which ONNX would not stop."""
    missing = sorted(set(theirs) - set(ours))
    faults = [("", f"onnx does not end at {missing}, only at {sorted(ours)}")] if missing else []
    return _check("onnx ends at every end token of transformers", faults, ours and theirs)


def _no_other_end(ours: TokenIds, theirs: TokenIds) -> CheckResult:
    """Find end tokens that only ONNX has; its builder adds the end of a turn on purpose."""
    extra = sorted(set(ours) - set(theirs))
    faults = [("", f"onnx ends at {extra} too")] if extra else []
    return _check("onnx ends at no other token", faults, ours and theirs, "warning")


def _true_usage(wrappers: tuple[Answers, ...], prompts: tuple[Prompt, ...]) -> CheckResult:
    """Compare the prompt tokens that a wrapper counts with those that its model receives."""
    faults, compared = [], []
    for answers in wrappers:
        received = _by_prompt(answers)
        for row in answer_table.rows(answers, prompts)[: len(prompts)]:
            name, counted = str(row["prompt_id"]), row["prompt_tokens"]
            if counted is None or name not in received:
                continue
            compared.append(name)
            if counted != (count := len(received[name].token_ids)):
                faults.append(
                    (name, f"{answers.kind} counts {counted} tokens, its model receives {count}")
                )
    return _check("the counted prompt tokens are those that the model receives", faults, compared)


def _by_prompt(answers: Answers) -> dict[str, Rendering]:
    return {rendering.prompt_id: rendering for rendering in answers.renderings}


def _text_difference(ours: str, theirs: str, messages: tuple[PromptMessage, ...]) -> str:
    """Return which turn one of them leaves out, or else where they differ first."""
    for message in messages:
        contained = [message.content.strip() in text for text in (ours, theirs)]
        if contained[0] != contained[1]:
            who = "transformers" if contained[0] else "onnx"
            return f"{who} leaves out the {message.role} turn"
    at = agreement.common_length(ours, theirs)
    left, right = (text[at : at + SHOWN_CHARACTERS] for text in (ours, theirs))
    return f"character {at} on: onnx has {left!r}, transformers {right!r}"


def _token_difference(ours: TokenIds, theirs: TokenIds) -> str:
    """Return the kind of difference."""
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
