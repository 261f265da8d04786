"""Two wrappers are held against each other: every named difference is found, no harmless one is."""

from typing import Any

import pytest

from slipway.checks.parity import compare
from slipway.values import Answers, CheckResult, PromptMessage, Rendering
from tests.support.healthy_answers import TEXT, answers, completion, predicted, prompt

TEXTS = "both render a conversation to the same prompt"
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


def rendered(
    name: str, text: str | None = None, token_ids: tuple[int, ...] = TOKEN_IDS
) -> Rendering:
    """Render one prompt, as a healthy wrapper does by default."""
    return Rendering(prompt_id=name, text=text or MARKUP[name], token_ids=token_ids)


def wrapper(**changes: Any) -> Answers:
    """Return what a healthy wrapper renders and answers, with these changes."""
    said = answers(*(predicted(each.id, completion()) for each in PROMPTS))
    healthy = {"renderings": tuple(map(rendered, MARKUP)), "end_token_ids": (0, 5)}
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
    """Seven checks, all critical, and none with anything to report but how far they agree."""
    checks = compare(wrapper(), REFERENCE, PROMPTS, "fp32")

    assert [check.passed for check in checks] == [True] * 7
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
    read = wrapper().model_dump(include={"end_token_ids"}) | {"renderings": wrapper().renderings}

    assert found(said.model_copy(update=read)) == {}


def test_what_could_not_be_read_is_undecided_and_blocks() -> None:
    """Two wrappers of which nothing is known are not equal."""
    checks = found(wrapper(renderings=(), end_token_ids=()))

    assert {name: check.passed for name, check in checks.items()} == dict.fromkeys(
        (TEXTS, TOKENS, END, OTHER_END)
    )
    assert {checks[name].severity for name in (TEXTS, TOKENS, END)} == {"critical"}
    assert {check.observed for check in checks.values()} == {"nothing to compare"}
