"""Comparison of both wrappers of a model on the same prompts. Pure.

Two wrappers of the same weights may differ: in the chat template, by an extra token at the start,
by an end token that one of them misses. Differences that are invisible in the answer are ignored:
whitespace and broken characters, which the libraries decode differently, answers that a token limit
or a stop text cut, and the order of end tokens.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import count

from slipway.checks import agreement, answer_table
from slipway.checks.conversations import Conversation, conversations
from slipway.values import (
    RUN_TOKENS,
    Answers,
    CheckResult,
    Prompt,
    Rendering,
    Severity,
    Tokens,
    VariantPrecision,
)

SHOWN_CHARACTERS, QUOTED_CHARACTERS = 20, 40
SAME_TOKENS = "both make the same tokens of the same text"
SAME_TEXTS = "both make the same text of the same tokens"

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
        _same_conversations(onnx.conversations, transformers.conversations),
        _with_system((onnx, transformers), prompts),
        _same_tokens(_by_prompt(onnx), _by_prompt(transformers)),
        _every_end(onnx.end_token_ids, transformers.end_token_ids),
        _no_other_end(onnx.end_token_ids, transformers.end_token_ids),
        agreement.same_ends(pairs),
        _true_usage((onnx, transformers), prompts),
        agreement.same_answers(pairs, precision),
    )


def compare_tokens(
    onnx: Answers, transformers: Answers, texts: Sequence[str]
) -> tuple[CheckResult, ...]:
    """Compare what both wrappers make of texts, and of the tokens that both know.

    Args:
        onnx: Answers of the ONNX wrapper.
        transformers: Answers of the transformers wrapper.
        texts: What both were given.

    Returns:
        Two checks, which say what they cover or name the first text that differs. Undecided if a
        wrapper was given no texts, or cannot be read.
    """
    ours, theirs = onnx.tokens, transformers.tokens
    if ours is None or theirs is None:
        return (_check(SAME_TOKENS, [], ()), _check(SAME_TEXTS, [], ()))
    decoded = [*_decoded(ours, theirs, texts)]
    return (
        _counted(SAME_TOKENS, [*_encoded(ours, theirs, texts)], "texts"),
        _counted(SAME_TEXTS, decoded, "sequences of tokens, with all of the vocabulary"),
    )


def _encoded(ours: Tokens, theirs: Tokens, texts: Sequence[str]) -> Iterator[str]:
    """Yield for each text how its tokens differ, if they do."""
    for text, left, right in zip(texts, ours.texts, theirs.texts, strict=True):
        if left is None or right is None:
            who = "neither wrapper" if left is right else "transformers" if left else "onnx"
            yield "" if left is right else f"{_quoted(text)}: {who} cannot encode it"
        elif left.token_ids == right.token_ids:
            yield ""
        else:
            difference = _token_difference(left.token_ids, right.token_ids)
            yield f"{_quoted(text)}: {difference}"


def _decoded(ours: Tokens, theirs: Tokens, texts: Sequence[str]) -> Iterator[str]:
    """Yield for each sequence of tokens that both have how its texts differ, if they do."""
    for text, left, right in zip(texts, ours.texts, theirs.texts, strict=True):
        if left and right and left.token_ids == right.token_ids:
            name = f"the tokens of {_quoted(text)}"
            yield _decoding_difference(name, left.decoded, right.decoded)
            yield _decoding_difference(f"{name}, reversed", left.reversed, right.reversed)
    for start, *run in zip(count(0, RUN_TOKENS), ours.runs, theirs.runs, strict=False):
        yield _decoding_difference(f"tokens {start} to {start + RUN_TOKENS - 1}", *run)


def _decoding_difference(name: str, ours: str | None, theirs: str | None) -> str:
    if ours == theirs:
        return ""
    if ours is None or theirs is None:
        return f"{name}: {'onnx' if ours is None else 'transformers'} cannot decode them"
    at = agreement.common_length(ours, theirs)
    left, right = (text[at : at + SHOWN_CHARACTERS] for text in (ours, theirs))
    return f"{name}: character {at} on: onnx has {left!a}, transformers {right!a}"


def _quoted(text: str) -> str:
    """Return a text in ASCII, since what differs is often invisible."""
    return ascii(text if len(text) <= QUOTED_CHARACTERS else f"{text[:QUOTED_CHARACTERS]}...")


def _counted(name: str, differences: list[str], what: str) -> CheckResult:
    """Return a check that says how many of ``what`` were compared, and which differ."""
    faults = [("", each) for each in differences if each]
    covered = f"{len(differences):,} {what}"
    result = _check(name, faults, differences)
    more = f"{result.observed} ({len(faults):,} of {covered} differ)" if faults else covered
    return result.model_copy(update={"observed": more})


def _same_text(
    ours: dict[str, Rendering], theirs: dict[str, Rendering], prompts: tuple[Prompt, ...]
) -> CheckResult:
    """Compare the chat markup; texts with the same tokens count as equal."""
    faults, rendered = [], [prompt for prompt in prompts if prompt.id in {*ours, *theirs}]
    for prompt in rendered:
        left, right = ours.get(prompt.id), theirs.get(prompt.id)
        texts = left.text if left else None, right.text if right else None
        if texts[0] == texts[1] or (left and right and left.token_ids == right.token_ids):
            continue
        faults.append((prompt.id, _difference(*texts, prompt.messages)))
    comparable = rendered if ours and theirs else ()
    return _check("both render a conversation to the same prompt", faults, comparable)


def _same_conversations(
    ours: tuple[str | None, ...], theirs: tuple[str | None, ...]
) -> CheckResult:
    """Compare the chat markup of the generated conversations; what both decline is equal."""
    pairs = [*zip(conversations(), ours, theirs, strict=False)]
    faults = [(messages, left, right) for messages, left, right in pairs if left != right]
    check = _check("both render generated conversations to the same prompt", [], pairs)
    if faults:
        observed = f"{len(faults)} of {len(pairs)} differ, such as {_described(*faults[0])}"
        return check.model_copy(update={"passed": False, "observed": observed})
    if not pairs:
        return check
    declined, longest = ours.count(None), max(len(messages) for messages, *_ in pairs)
    covered = f"{len(pairs)} conversations of 1 to {longest} messages, {declined} declined by both"
    return check.model_copy(update={"observed": covered})


def _described(messages: Conversation, ours: str | None, theirs: str | None) -> str:
    """Return who speaks in a conversation, and how its renderings differ."""
    who = ", ".join(message.role for message in messages)
    return f"({who}): {_difference(ours, theirs, messages)}"


def _with_system(wrappers: tuple[Answers, ...], prompts: tuple[Prompt, ...]) -> CheckResult:
    """Name the prompts that were asked without a part of them."""
    observed = "asked without it, since the chat template declines it"
    names = dict.fromkeys(name for answers in wrappers for name in answers.without_system)
    faults = [(name, observed) for name in names]
    return _check("every prompt is asked with its system message", faults, prompts, "warning")


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


def _difference(ours: str | None, theirs: str | None, messages: Conversation) -> str:
    """Return who cannot render it or leaves out a turn, or else where they differ first."""
    if ours is None or theirs is None:
        return f"{'onnx' if ours is None else 'transformers'} cannot render it"
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
