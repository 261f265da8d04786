"""Both wrappers of the tiny model, asked as the smoke test asks; then one of them is spoilt."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.checks import sampled_rates
from slipway.checks.ask import FurtherQuestions
from slipway.checks.grading import answer_texts
from slipway.checks.parity import compare
from slipway.checks.structured import NO_TOOLS
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.tracking.location import MlflowLocation
from slipway.values import (
    Answers,
    Battery,
    CheckResult,
    DeclaredSampling,
    Prompt,
    PromptMessage,
    StructuredPrompt,
    StructuredRequest,
)
from tests.support.tiny_phi3 import BEGIN, CHAT_TEMPLATE, CONVERSATIONS, END_OF_TEXT
from tests.support.two_wrappers import ChildRequest, Subject, ask_all

ROOT = Path(__file__).parents[2]
UNUSED = 7  # a token that ends nothing
TEXT = "both render a conversation to the same prompt"
GENERATED = "both render generated conversations to the same prompt"
AS_WRITTEN = "every prompt is asked with its system message"
TOKENS = "both make the same tokens of the same prompt"
END = "onnx ends at every end token of transformers"
OTHER_END = "onnx ends at no other token"
STOP = "an answer that ends in one wrapper ends in the other"
USAGE = "the counted prompt tokens are those that the model receives"
ANSWERS = "greedy answers agree for 90% of their length"

WITH_BEGIN = CHAT_TEMPLATE.replace("{%- for", "{{- '<s>' -}}\n{%- for", 1)
DECLINES = (
    "{%- if messages[0]['role'] == 'system' -%}"
    "{{- raise_exception('There is no system role') -}}{%- endif -%}"
)
WITHOUT_THOUGHTS = CHAT_TEMPLATE.replace("'] + '<|end|>", "'].split('</think>')[-1] + '<|end|>")
WITHOUT_SYSTEM = CHAT_TEMPLATE.replace("in messages", "in messages if message['role'] != 'system'")
SWAPPED = CHAT_TEMPLATE.replace("'<|' + message['role'] + '|>\n'", "message['role'] + ': '")

READ = ("renderings", "conversations", "end_token_ids")
SYSTEM = PromptMessage(role="system", content="Be brief.")
QUESTIONS = tuple(
    Prompt(
        id=f"question-{number}",
        purpose="one that the tiny model knows by heart",
        messages=(PromptMessage(role="user", content=question),),
        max_tokens=20 if number == 1 else 64,
        stop=("harbour",) if number == 1 else (),
    )
    for number, question in enumerate(CONVERSATIONS)
)
CONVERSATION = Prompt(
    id="conversation",
    purpose="every turn counts",
    messages=(SYSTEM, PromptMessage(role="user", content="Tell me a joke.")),
)
PROMPTS = (*QUESTIONS, CONVERSATION)
COLD = DeclaredSampling(temperature=0.1)
SOONEST = ("question-0", "question-2", "question-3")  # without a stop text, and known by heart
SAMPLED = FurtherQuestions(battery=Battery(sampling=COLD, prompt_ids=SOONEST))
WITH_TOOLS = (
    "{%- if tools -%}{{- '<|system|>\n' + tools[0].function.name + '<|end|>\n' -}}{%- endif -%}"
)
STRUCTURED = StructuredRequest(
    prompts=tuple(
        StructuredPrompt(
            id=name,
            messages=(PromptMessage(role="user", content="Count to ten."),),
            json_schema=schema,
            tools=tools,
        )
        for name, schema, tools in (
            ("document", {"type": "string"}, ()),
            ("call", None, ({"type": "function", "function": {"name": "add"}},)),
        )
    )
)
RENDERED = SAMPLED.model_copy(
    update={
        "structured": StructuredRequest(
            prompts=STRUCTURED.prompts,
            rendered={
                "call": "<|system|>\nadd<|end|>\n<|user|>\nCount to ten.<|end|>\n<|assistant|>\n"
            },
        )
    }
)


def spoilt(folder: Path, target: Path, **changes: Callable[[str], str]) -> Path:
    """Return a copy of ``folder`` with its template, configuration or tokenizer changed."""
    names = {
        "template": "chat_template.jinja",
        "genai": "genai_config.json",
        "tokenizer": "tokenizer.json",
    }
    shutil.copytree(folder, target)
    for part, change in changes.items():
        file = target / names[part]
        file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    return target


def endless(text: str) -> str:
    """Let the end of a turn end nothing."""
    config = json.loads(text)
    config["model"]["eos_token_id"] = [END_OF_TEXT, UNUSED]
    return json.dumps(config)


def adding_begin(text: str) -> str:
    """Let the tokenizer put its BOS before every text, as Llama's does."""
    tokenizer = json.loads(text)
    piece = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": piece,
        "pair": [*piece, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [BEGIN], "tokens": ["<s>"]}},
    }
    return json.dumps(tokenizer)


@pytest.fixture(scope="module")
def asked(
    checkpoint: Path, onnx_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Answers]:
    """Return the answers of the healthy wrappers and of the spoilt ones."""
    room = tmp_path_factory.mktemp("parity")
    begins: dict[str, Any] = {"template": lambda _: WITH_BEGIN, "tokenizer": adding_begin}
    folders = {
        "swapped": spoilt(onnx_folder, room / "swapped", template=lambda _: SWAPPED),
        "deaf": spoilt(onnx_folder, room / "deaf", template=lambda _: WITHOUT_SYSTEM),
        "endless": spoilt(onnx_folder, room / "endless", genai=endless),
        "begins": spoilt(onnx_folder, room / "begins", **begins),
        "thinks": spoilt(onnx_folder, room / "thinks", template=lambda _: WITHOUT_THOUGHTS),
        "declines": spoilt(onnx_folder, room / "declines", template=DECLINES.__add__),
    }
    calling = spoilt(checkpoint, room / "calling", template=WITH_TOOLS.__add__)
    declining = spoilt(checkpoint, room / "declining", template=DECLINES.__add__)
    reference = spoilt(checkpoint, room / "reference", **begins)
    chat = {
        name: Subject(kind="onnx", contract="chat", folder=path) for name, path in folders.items()
    }
    subjects = chat | {
        "chat": Subject(kind="onnx", contract="chat", folder=onnx_folder, more=SAMPLED),
        "prompt": Subject(kind="onnx", contract="prompt", folder=onnx_folder, more=RENDERED),
        "endless-prompt": Subject(kind="onnx", contract="prompt", folder=folders["endless"]),
        "reference": Subject(
            kind="transformers",
            contract="chat",
            folder=checkpoint,
            more=FurtherQuestions(battery=Battery(sampling=COLD), structured=STRUCTURED),
        ),
        "reference-calls": Subject(
            kind="transformers",
            contract="chat",
            folder=calling,
            more=FurtherQuestions(structured=STRUCTURED),
        ),
        "reference-begins": Subject(kind="transformers", contract="chat", folder=reference),
        "reference-declines": Subject(kind="transformers", contract="chat", folder=declining),
        "reference-doubles": Subject(kind="plain", contract="chat", folder=reference),
    }
    place = MlflowLocation(uri=f"sqlite:///{room}/mlflow.db", artifacts=room / "artifacts")
    limits = ProcessLimits(timeout_seconds=300, memory_bytes=None, logs=room / "logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        errand = ChildRequest(place=place, prompts=PROMPTS, subjects=subjects)
        return call(ask_all, errand, limits, step="ask all").value


def found(onnx: Answers, transformers: Answers) -> dict[str, CheckResult]:
    """Return the checks that did not pass."""
    checks = compare(onnx, transformers, PROMPTS, "fp32")
    return {check.name: check for check in checks if check.passed is not True}


@pytest.mark.parametrize("contract", ["chat", "prompt"])
def test_both_wrappers_of_an_unchanged_model_pass(asked: dict[str, Answers], contract: str) -> None:
    """Whatever it speaks, the fp32 build is the reference's equal, conversation by conversation."""
    checks = compare(asked[contract], asked["reference"], PROMPTS, "fp32")

    assert {check.name: check.passed for check in checks} == dict.fromkeys(
        (TEXT, GENERATED, AS_WRITTEN, TOKENS, END, OTHER_END, STOP, USAGE, ANSWERS), True
    )
    assert "300 conversations of 1 to 22 messages, 0 declined by both" in {
        check.observed for check in checks
    }
    assert "5 of 5 are the same, 100% agree" in {check.observed for check in checks}


def test_an_answer_has_the_tokens_of_its_prompt_under_both_contracts(
    asked: dict[str, Answers],
) -> None:
    """A request of the prompt contract has no limit, and other prompts may have more tokens."""
    chat, prompt = (
        answer_texts(asked[name], (QUESTIONS[0], CONVERSATION))
        for name in ("endless", "endless-prompt")
    )

    assert chat == prompt
    assert len(chat["conversation"] or "") < len(chat["question-0"] or "")


def test_both_wrappers_sample_the_prompts_that_end_soonest(asked: dict[str, Answers]) -> None:
    """Whatever contract: at a low temperature the tiny model says what it says greedily."""
    drawn = {name: asked[name].samples for name in ("chat", "prompt", "reference")}

    for samples in filter(None, drawn.values()):
        assert samples.error is None
        assert samples.prompt_ids == SOONEST
        texts = {(each.prompt_id, each.text) for each in samples.answers}
        assert (len(samples.answers), len(texts)) == (12, 3)
        assert all(each.stopped and each.tokens > 1 for each in samples.answers)
    assert len({samples and samples.answers for samples in drawn.values()}) == 1


def test_both_wrappers_answer_what_the_source_rendered(asked: dict[str, Answers]) -> None:
    """A template without tools is an error of each question with tools; documents need none."""
    source, candidate = asked["reference-calls"].structured, asked["prompt"].structured
    (document, call) = asked["reference"].structured

    assert [(each.prompt_id, each.text) for each in source] == [
        (each.prompt_id, each.text) for each in candidate
    ]
    assert (source[1].rendered, source[1].error) == (RENDERED.structured.rendered["call"], None)
    assert document.text == "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."
    assert (call.text, call.error) == (None, NO_TOOLS)


def test_without_a_battery_nothing_is_sampled(asked: dict[str, Answers]) -> None:
    """And a source that declares no sampling has no samples to compare with."""
    assert (asked["endless"].samples, asked["endless"].structured) == (None, ())
    assert sampled_rates.compare(asked["endless"], asked["chat"]) is None


def test_another_chat_template_is_named(asked: dict[str, Answers]) -> None:
    """Every conversation is rendered otherwise, and the line shows from where on."""
    check = found(asked["swapped"], asked["reference"])[TEXT]

    assert check.failing == tuple(prompt.id for prompt in PROMPTS)
    assert check.observed.startswith("character 0 on: onnx has 'user: ")


def test_a_template_that_ignores_the_system_turn_is_named(asked: dict[str, Answers]) -> None:
    """Only the conversation that has such a turn is at fault."""
    check = found(asked["deaf"], asked["reference"])[TEXT]

    assert check.failing == ("conversation",)
    assert check.observed == "onnx leaves out the system turn"


def test_a_difference_that_no_prompt_shows_is_found_in_a_generated_conversation(
    asked: dict[str, Answers],
) -> None:
    """Here in those with thoughts; every prompt of the suite is rendered and answered alike."""
    checks = found(asked["thinks"], asked["reference"])

    assert {*checks} == {GENERATED}
    assert checks[GENERATED].severity == "critical"
    assert " of 300 differ, such as (" in checks[GENERATED].observed


def test_a_template_that_declines_a_system_message_is_asked_without_it(
    asked: dict[str, Answers],
) -> None:
    """In both wrappers, which is shown and blocks nothing."""
    checks = found(asked["declines"], asked["reference-declines"])
    (prediction,) = asked["declines"].predictions[-1:]

    assert (prediction.prompt_id, prediction.error) == ("conversation", None)
    assert {*checks} == {AS_WRITTEN}
    assert (checks[AS_WRITTEN].severity, checks[AS_WRITTEN].failing) == (
        "warning",
        ("conversation",),
    )


def test_a_system_message_that_one_wrapper_alone_declines_is_named(
    asked: dict[str, Answers],
) -> None:
    """They were not asked the same."""
    check = found(asked["declines"], asked["reference"])[TEXT]

    assert (check.failing, check.observed) == (
        ("conversation",),
        "onnx leaves out the system turn",
    )


def test_a_doubled_begin_is_named(asked: dict[str, Answers]) -> None:
    """Template and tokenizer both write one, and MLflow counts only the template's."""
    checks = found(asked["begins"], asked["reference-doubles"])

    assert checks[TOKENS].observed == f"transformers has a doubled BOS, token {BEGIN}"
    assert checks[TOKENS].failing == tuple(prompt.id for prompt in PROMPTS)
    assert "its model receives" in checks[USAGE].observed


def test_the_wrapper_as_we_log_it_feeds_what_the_template_wrote(asked: dict[str, Answers]) -> None:
    """With our settings the same tokenizer doubles nothing."""
    checks = found(asked["begins"], asked["reference-begins"])

    assert not {TEXT, TOKENS, USAGE} & checks.keys()
    assert asked["begins"].renderings[0].token_ids[0] == BEGIN


@pytest.mark.parametrize("subject", ["endless", "endless-prompt"])
def test_an_end_that_is_not_seen_is_named(asked: dict[str, Answers], subject: str) -> None:
    """The missing token is named, and so is what follows from it: answers that go on and on."""
    checks = found(asked[subject], asked["reference"])

    assert checks[END].observed == "onnx does not end at [5], only at [0, 7]"
    assert checks[STOP].severity == "critical"
    assert checks[STOP].observed.startswith("of 3 ends, onnx continues after 3 ")
    assert not {TEXT, TOKENS, USAGE} & checks.keys()


def test_a_wrapper_that_cannot_be_read_leaves_parity_undecided(asked: dict[str, Answers]) -> None:
    """Nothing is guessed: without renderings and end tokens there is nothing to compare."""
    blind = asked["chat"].model_copy(update=dict.fromkeys(READ, ()))
    checks = found(blind, asked["reference"])

    assert {check.name for check in checks.values() if check.passed is None} == {
        *(TEXT, GENERATED, TOKENS, END, OTHER_END),
    }
