"""Two wrappers are held against each other: every named difference is found, no harmless one is."""

from typing import Any

import pytest

from slipway.checks.conversations import conversations
from slipway.checks.parity import compare, compare_tokens
from slipway.values import Answers, CheckResult, PromptMessage, Rendering, TokenizedText, Tokens
from tests.support.healthy_answers import TEXT, answers, completion, predicted, prompt

TEXTS = "both render a conversation to the same prompt"
GENERATED = "both render generated conversations to the same prompt"
AS_WRITTEN = "every prompt is asked with its system message"
TOKENS = "both make the same tokens of the same prompt"
END = "onnx ends at every end token of transformers"
OTHER_END = "onnx ends at no other token"
STOP = "an answer that ends in one wrapper ends in the other"
USAGE = "the counted prompt tokens are those that the model receives"
SYSTEM = PromptMessage(role="system", content="Be brief.")
QUESTION = PromptMessage(role="user", content="When does it leave?")
PROMPTS = (prompt("ferry"), prompt("brief", messages=(SYSTEM, QUESTION)))
TOKEN_IDS = (5, *range(20, 31))  # as many as the completions of these tests count
MARKUP = {"ferry": "<user>When?<end>", "brief": "<system>Be brief.<user>When does it leave?<end>"}
#: What is read of a wrapper, besides its answers.
READ = ("renderings", "conversations", "end_token_ids")
#: Of the generated conversations; templates decline some.
MARKUPS = ("<user>Hello!<end>", None, "<user>At noon.<end>")


def rendered(
    name: str, text: str | None = None, token_ids: tuple[int, ...] = TOKEN_IDS
) -> Rendering:
    """Render one prompt, as a healthy wrapper does by default."""
    return Rendering(prompt_id=name, text=text or MARKUP[name], token_ids=token_ids)


def wrapper(**changes: Any) -> Answers:
    """Return what a healthy wrapper renders and answers, with these changes."""
    said = answers(*(predicted(each.id, completion()) for each in PROMPTS))
    healthy = {
        "renderings": tuple(map(rendered, MARKUP)),
        "conversations": MARKUPS,
        "end_token_ids": (0, 5),
    }
    return said.model_copy(update=healthy | changes)


def rendering(**changes: Any) -> Answers:
    """Return a wrapper that renders the prompt ``ferry`` in another way."""
    return wrapper(renderings=(rendered("ferry", **changes), rendered("brief")))


REFERENCE = wrapper(kind="transformers")


def found(onnx: Answers, transformers: Answers = REFERENCE) -> dict[str, CheckResult]:
    """Return the checks that did not pass."""
    checks = compare(onnx, transformers, PROMPTS, "fp32")
    return {check.name: check for check in checks if check.passed is not True}


def test_two_equal_wrappers_pass_every_check() -> None:
    """None with anything to report but how far they agree, and what was covered."""
    checks = compare(wrapper(), REFERENCE, PROMPTS, "fp32")

    assert [check.passed for check in checks] == [True] * 9
    assert all(not check.failing for check in checks)


@pytest.mark.parametrize(
    ("onnx", "transformers", "observed"),
    [
        pytest.param(
            {"token_ids": (5, *TOKEN_IDS)}, {}, "onnx has a doubled BOS, token 5", id="doubled"
        ),
        pytest.param(
            {},
            {"token_ids": (1, *TOKEN_IDS)},
            "transformers has 1 extra special token at the start: [1]",
            id="one more",
        ),
        pytest.param(
            {"token_ids": (7, 8, *TOKEN_IDS)},
            {},
            "onnx has 2 extra special tokens at the start: [7, 8]",
            id="two more",
        ),
        pytest.param(
            {},
            {"token_ids": (*TOKEN_IDS, 2)},
            "transformers has 1 extra special token at the end: [2]",
            id="at the end",
        ),
        pytest.param(
            {"token_ids": (*TOKEN_IDS[:3], 99, *TOKEN_IDS[4:])},
            {},
            "position 3: onnx has 99, transformers 22",
            id="another token",
        ),
        pytest.param(
            {"token_ids": (*TOKEN_IDS[:3], 99)},
            {},
            "position 3: onnx has 99, transformers 22",
            id="other tokens, and fewer",
        ),
        pytest.param(
            {"token_ids": TOKEN_IDS[:1] + TOKEN_IDS[2:]},
            {},
            "position 1: onnx has 21, transformers 20",
            id="one less in the middle",
        ),
    ],
)
def test_different_tokens_of_the_same_prompt_are_described(
    onnx: dict[str, Any], transformers: dict[str, Any], observed: str
) -> None:
    """Whoever reads the line knows where to look: the tokenizer's settings, or its vocabulary."""
    reference = rendering(**transformers).model_copy(update={"kind": "transformers"})
    check = found(rendering(**onnx), reference)[TOKENS]

    assert (check.severity, check.passed, check.failing) == ("critical", False, ("ferry",))
    assert check.observed == observed


@pytest.mark.parametrize(
    ("renderings", "failing", "observed"),
    [
        pytest.param(
            (rendered("ferry", "USER: When?", (9,)), rendered("brief")),
            "ferry",
            "character 0 on: onnx has 'USER: When?', transformers '<user>When?<end>'",
            id="another markup",
        ),
        pytest.param(
            (rendered("ferry"), rendered("brief", "<user>When does it leave?<end>", (9,))),
            "brief",
            "onnx leaves out the system turn",
            id="no system turn",
        ),
        pytest.param((rendered("ferry"),), "brief", "onnx cannot render it", id="refused"),
    ],
)
def test_a_different_prompt_is_reported_with_its_first_difference(
    renderings: tuple[Rendering, ...], failing: str, observed: str
) -> None:
    """Only the text is at fault: what both made of other texts cannot be compared."""
    checks = found(wrapper(renderings=renderings))

    assert (checks[TEXTS].failing, checks[TEXTS].observed) == ((failing,), observed)
    assert TOKENS not in checks


@pytest.mark.parametrize(
    ("markup", "observed"),
    [
        ("<user>Hi!<end>", "character 7 on: onnx has 'i!<end>', transformers 'ello!<end>'"),
        (None, "onnx cannot render it"),
    ],
)
def test_a_generated_conversation_that_differs_is_described(
    markup: str | None, observed: str
) -> None:
    """How many differ, who speaks in the first of them, and where it differs."""
    check = found(wrapper(conversations=(markup, *MARKUPS[1:])))[GENERATED]
    who = ", ".join(message.role for message in conversations()[0])

    assert (check.severity, check.passed) == ("critical", False)
    assert check.observed == f"1 of 3 differ, such as ({who}): {observed}"


def test_what_was_covered_is_reported() -> None:
    """Conversations that both decline are counted, since nothing is known of them."""
    checks = {each.name: each for each in compare(wrapper(), REFERENCE, PROMPTS, "fp32")}

    assert checks[GENERATED].observed.startswith("3 conversations of 1 to ")
    assert checks[GENERATED].observed.endswith(" messages, 1 declined by both")


def test_a_prompt_without_its_system_message_is_reported() -> None:
    """The model is not to blame, and nothing else was asked."""
    shorter = (rendered("ferry"), rendered("brief", "<user>When does it leave?<end>"))
    both = {"renderings": shorter, "without_system": ("brief",)}
    checks = found(wrapper(**both), wrapper(kind="transformers", **both))

    assert [*checks] == [AS_WRITTEN]
    assert (checks[AS_WRITTEN].severity, checks[AS_WRITTEN].failing) == ("warning", ("brief",))
    assert checks[AS_WRITTEN].observed.endswith("since the chat template declines it")


def test_texts_that_become_the_same_tokens_are_no_difference() -> None:
    """The model cannot see one."""
    assert found(rendering(text="<user> When?<end>")) == {}


def test_a_missing_end_token_blocks_and_an_extra_one_is_shown() -> None:
    """Beyond a missing one the answer goes on; builders add the end of a turn on purpose."""
    checks = found(wrapper(end_token_ids=(0, 7)))

    assert (checks[END].severity, checks[OTHER_END].severity) == ("critical", "warning")
    assert checks[END].observed == "onnx does not end at [5], only at [0, 7]"
    assert checks[OTHER_END].observed == "onnx ends at [7] too"


@pytest.mark.parametrize("end_token_ids", [(5, 0), (0, 5, 0)])
def test_the_order_of_end_tokens_is_no_difference(end_token_ids: tuple[int, ...]) -> None:
    """They are a set that two files write in their own ways."""
    assert found(wrapper(end_token_ids=end_token_ids)) == {}


def test_usage_that_leaves_out_what_was_fed_is_named() -> None:
    """As MLflow's count leaves out the BOS that the tokenizer added."""
    fed = {"renderings": (rendered("ferry", token_ids=(1, *TOKEN_IDS)), rendered("brief"))}
    check = found(wrapper(), wrapper(kind="transformers", **fed))[USAGE]

    assert (check.failing, check.severity) == (("ferry",), "critical")
    assert check.observed == "transformers counts 12 tokens, its model receives 13"


def test_a_contract_without_usage_is_not_checked_for_it() -> None:
    """The prompt contract answers texts; the reference's counts are checked all the same."""
    said = answers(*(predicted(each.id, TEXT) for each in PROMPTS), contract="prompt")
    read = {name: getattr(wrapper(), name) for name in READ}

    assert found(said.model_copy(update=read)) == {}


def test_what_could_not_be_read_is_undecided_and_blocks() -> None:
    """Two wrappers of which nothing is known are not equal."""
    checks = found(wrapper(**dict.fromkeys(READ, ())))

    assert {name: check.passed for name, check in checks.items()} == dict.fromkeys(
        (TEXTS, GENERATED, TOKENS, END, OTHER_END)
    )
    assert {checks[name].severity for name in (TEXTS, GENERATED, TOKENS, END)} == {"critical"}
    assert {check.observed for check in checks.values()} == {"nothing to compare"}


GIVEN = ("caf\u00e9", "cafe\u0301")
ACUTE = TokenizedText(token_ids=(5, 20, 21), decoded="caf\u00e9", reversed="\ufffdfac")


def tokenized(*texts: TokenizedText | None, runs: tuple[str | None, ...] = ("ab", "cd")) -> Answers:
    """Return a wrapper that makes the same tokens of both texts, or these."""
    return wrapper(tokens=Tokens(texts=texts or (ACUTE, ACUTE), runs=runs))


def test_equal_tokens_and_texts_are_counted() -> None:
    """A token at the end that only one of them knows is no difference."""
    checks = compare_tokens(tokenized(), tokenized(runs=("ab", "cd", "e")), GIVEN)

    assert [check.passed for check in checks] == [True, True]
    assert checks[0].observed == "2 texts"
    assert checks[1].observed == "6 sequences of tokens, with all of the vocabulary"


@pytest.mark.parametrize(
    ("onnx", "place", "observed"),
    [
        (
            tokenized(ACUTE, ACUTE.model_copy(update={"token_ids": (5, 22, 23)})),
            0,
            r"'cafe\u0301': position 1: onnx has 22, transformers 20 (1 of 2 texts differ)",
        ),
        (tokenized(ACUTE, None), 0, r"'cafe\u0301': onnx cannot encode it (1 of 2 texts differ)"),
        (
            tokenized(ACUTE, ACUTE.model_copy(update={"decoded": "caf"})),
            1,
            r"the tokens of 'cafe\u0301': character 3 on: onnx has '', transformers '\xe9'",
        ),
        (
            tokenized(ACUTE.model_copy(update={"reversed": None}), ACUTE),
            1,
            r"the tokens of 'caf\xe9', reversed: onnx cannot decode them",
        ),
        (
            tokenized(runs=("ab", "\u2581d")),
            1,
            r"tokens 16 to 31: character 0 on: onnx has '\u2581d', transformers 'cd'",
        ),
    ],
)
def test_the_first_text_that_differs_is_named(onnx: Answers, place: int, observed: str) -> None:
    """In ASCII, since what differs is often invisible."""
    checks = compare_tokens(onnx, tokenized(), GIVEN)

    assert [check.passed for check in checks] == [place != 0, place != 1]
    assert checks[place].observed.startswith(observed)
    assert checks[place].severity == "critical"


def test_a_wrapper_whose_tokens_cannot_be_read_is_undecided_and_blocks() -> None:
    """Of one's own, for example."""
    checks = compare_tokens(wrapper(), tokenized(), GIVEN)

    assert {(check.passed, check.severity) for check in checks} == {(None, "critical")}
