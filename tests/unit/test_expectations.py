"""The suites of the project find the fault that was planted, and no other."""

import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from answering import TEXT, answers, completion, predicted, prompt

from slipway.errors import CatalogueInvalid, SourceMissing
from slipway.expectations import check, load_prompts, suite_digest
from slipway.values import Answers, Check, Prediction, WrapperKind

SUITES = Path(__file__).parents[2] / "expectations"
PROMPTS = (
    prompt("ferry", max_tokens=20),
    prompt("stops", stop=("ten",)),
    prompt("twice", repeat=True),
    *(prompt(f"filler-{number}") for number in range(4)),
)
AGAIN = json.dumps(completion() | {"id": "chatcmpl-2"})
WITHOUT_USAGE = {key: part for key, part in completion().items() if key != "usage"}
LOOP = "The ferry leaves at nine. " * 6
MILD = "The harbour of this town wakes early, and then: " + "ahoy, ahoy, " * 6
OFF_BY_ONE = completion() | {
    "usage": {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 20}
}
NAN = completion() | {
    "usage": {"prompt_tokens": 12, "completion_tokens": math.nan, "total_tokens": 19}
}


def healthy(*planted: Prediction, kind: WrapperKind = "onnx") -> Answers:
    """Answer every prompt of the chat contract well, apart from the ``planted`` ones."""
    good = {each.id: predicted(each.id, completion()) for each in PROMPTS}
    good["twice"] = predicted("twice", completion(), repeated=AGAIN)
    return answers(*(good | {each.prompt_id: each for each in planted}).values(), kind=kind)


def texts(*planted: Prediction) -> Answers:
    """Answer every prompt of the prompt contract well, apart from the ``planted`` ones."""
    good = {each.id: predicted(each.id, TEXT) for each in PROMPTS}
    good["twice"] = predicted("twice", TEXT, repeated=json.dumps(TEXT))
    by_id = {each.prompt_id: each for each in planted}
    return answers(*(good | by_id).values(), contract="prompt")


def found(answers_: Answers, folder: Path = SUITES) -> list[Check]:
    """Return the checks that did not pass."""
    return [each for each in check(answers_, PROMPTS, folder) if each.passed is not True]


@pytest.mark.parametrize(
    ("answers_", "count"),
    [
        pytest.param(healthy(), 16, id="onnx, chat"),
        pytest.param(healthy(kind="transformers"), 15, id="transformers, chat"),
        pytest.param(texts(), 12, id="onnx, prompt"),
    ],
)
def test_a_healthy_wrapper_passes_every_check(answers_: Answers, count: int) -> None:
    """Nothing is found, nothing is undecided; stop texts are checked where they are passed."""
    actual = check(answers_, PROMPTS, SUITES)

    assert [
        each for each in actual if each.passed is not True or each.failing or each.observed
    ] == []
    assert len(actual) == count


@pytest.mark.parametrize(
    ("fault", "name", "observed"),
    [
        pytest.param(
            predicted("ferry", [completion()]),
            "every answer is a chat completion",
            "$: [{'id': 'chatcmpl-1', 'object' is not of type 'object'",
            id="wrong shape",
        ),
        pytest.param(
            predicted("ferry", WITHOUT_USAGE),
            "every answer is a chat completion",
            "$: 'usage' is a required property",
            id="missing field",
        ),
        pytest.param(
            predicted("ferry", completion(reason="eos")),
            "every answer is a chat completion",
            "$.choices[0].finish_reason: 'eos' is not one of ['stop', 'length']",
            id="finish reason that the contract does not know",
        ),
        pytest.param(
            predicted("ferry", completion() | {"model": "/home/somebody/model"}),
            "every answer is a chat completion",
            "$.model: '/home/somebody/model' does not match",
            id="path for a name",
        ),
        pytest.param(
            predicted("ferry", None, response="Madrid"),
            "every answer is JSON",
            "response='Madrid'",
            id="no JSON",
        ),
        pytest.param(
            predicted("ferry", NAN), "every answer is JSON", 'response=\'{"id"', id="NaN for tokens"
        ),
        pytest.param(
            predicted("ferry", completion(""), latency_ms=5),
            "every answer says something",
            "''",
            id="empty answer",
        ),
        pytest.param(
            predicted("ferry", completion(" \n")),
            "every answer says something",
            "' \\n'",
            id="blank answer",
        ),
        pytest.param(
            predicted("ferry", OFF_BY_ONE),
            "the token counts add up",
            "prompt_tokens=12, completion_tokens=7, total_tokens=20",
            id="usage off by one",
        ),
        pytest.param(
            predicted("ferry", completion(reason="length")),
            "the finish reason is true",
            "finish_reason='length', completion_tokens=7",
            id="claims the limit",
        ),
        pytest.param(
            predicted("ferry", completion(tokens=21)),
            "the finish reason is true",
            "finish_reason='stop', completion_tokens=21",
            id="claims to have ended",
        ),
        pytest.param(
            predicted("stops", completion("From nine to ten.")),
            "no answer holds its stop text",
            "output='From nine to ten.'",
            id="leaked stop text",
        ),
        pytest.param(
            predicted("ferry", completion(LOOP)),
            "no answer is a loop",
            "longest_repeat_ratio=1.0, output='The ferry",
            id="loop",
        ),
        pytest.param(
            predicted("ferry", completion(MILD)),
            "no answer repeats itself for half its length",
            "longest_repeat_ratio=0.6",
            id="mild repetition",
        ),
        pytest.param(
            predicted("twice", completion(), repeated=json.dumps(completion("At ten."))),
            "asked again, the answer is the same",
            f"output='{TEXT}'",
            id="not deterministic",
        ),
        pytest.param(
            Prediction(prompt_id="ferry", response=None, latency_ms=1, error="ValueError: no\x1b"),
            "every prompt is answered without an error",
            "'ValueError: no\\x1b'",
            id="error",
        ),
        pytest.param(
            predicted("ferry", completion(), latency_ms=math.nan),
            "the time of every answer was measured",
            "None",
            id="NaN for a time",
        ),
        pytest.param(
            predicted("ferry", completion(), latency_ms=10_001),
            "every answer takes at most 10 seconds",
            "10001",
            id="slow",
        ),
        pytest.param(
            predicted("ferry", completion("The ferry \ufffd")),
            "no answer holds a replacement character",
            "'The ferry \ufffd'",
            id="replacement character",
        ),
        pytest.param(
            predicted("ferry", completion("When does the next ferry leave?")),
            "no answer only repeats its question",
            "output='When does the next ferry leave?'",
            id="echo",
        ),
    ],
)
def test_a_planted_fault_is_found_by_its_check_alone(
    fault: Prediction, name: str, observed: str
) -> None:
    """Exactly one check fails; it names the prompt and shows what is wrong in one short line."""
    (actual,) = found(healthy(fault))

    assert (name, False, (fault.prompt_id,)) == (actual.name, actual.passed, actual.failing)
    assert actual.observed.startswith(observed)
    assert len(actual.observed.splitlines()) == 1
    assert len(actual.observed) <= 80


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        pytest.param(predicted("ferry", completion()), "every answer is a text", id="wrong shape"),
        pytest.param(predicted("ferry", None), "every answer is a text", id="null"),
        pytest.param(predicted("ferry", ""), "every answer says something", id="empty answer"),
        pytest.param(predicted("ferry", LOOP), "no answer is a loop", id="loop"),
        pytest.param(
            predicted("twice", TEXT, repeated='"At ten."'),
            "asked again, the answer is the same",
            id="not deterministic",
        ),
    ],
)
def test_the_prompt_contract_is_checked_too(fault: Prediction, name: str) -> None:
    """A text has fewer sides to it, and each is looked at."""
    (actual,) = found(texts(fault))

    assert (name, False, (fault.prompt_id,)) == (actual.name, actual.passed, actual.failing)


def test_a_missing_prediction_is_found_and_named() -> None:
    """A prompt that nobody answered is at fault, though it left no trace in the answers."""
    all_ = healthy()
    (actual,) = found(all_.model_copy(update={"predictions": all_.predictions[1:]}))

    assert actual.name == "every prompt is answered without an error"
    assert (actual.passed, actual.failing) == (False, ("ferry",))
    assert actual.observed == "'no prediction came back'"


def test_a_prediction_too_many_is_found() -> None:
    """A prompt answered twice breaks the count, which belongs to no single prompt."""
    all_ = healthy()
    twice = all_.model_copy(update={"predictions": (*all_.predictions, all_.predictions[0])})
    (actual,) = found(twice)

    assert actual.name == "there is one answer to every prompt, and no other"
    assert (actual.passed, actual.failing, actual.observed) == (False, (), "8")


def test_a_wrapper_that_always_says_stop_is_found() -> None:
    """One answer may end exactly at its limit; when many do, the reason is a lie."""
    cut = [predicted(each.id, completion(tokens=each.max_tokens)) for each in PROMPTS[3:]]
    (actual,) = found(healthy(*cut))

    assert actual.name == "few answers stop exactly at their token limit"
    assert actual.severity == "critical"
    assert found(healthy(cut[0])) == []


def test_several_faults_are_all_named_in_the_suite_s_order() -> None:
    """A check names every prompt at fault, once, and the first explains it."""
    planted = [predicted(name, completion(LOOP)) for name in ("filler-2", "ferry")]
    planted.append(predicted("stops", OFF_BY_ONE))
    actual = found(healthy(*planted))
    expected = [
        ("the token counts add up", ("stops",)),
        ("no answer is a loop", ("ferry", "filler-2")),
    ]

    assert expected == [(each.name, each.failing) for each in actual]


@pytest.mark.parametrize("prompts", [(), PROMPTS], ids=["nothing asked", "nothing answered"])
def test_nothing_at_all_passes_no_check_of_an_answer(prompts: tuple[Any, ...]) -> None:
    """Without answers, Great Expectations calls nearly everything a success; we do not."""
    actual = check(answers(), prompts, SUITES)
    passed = {each.name for each in actual if each.passed}

    assert passed == {"there is one answer to every prompt, and no other"}
    assert any(each.passed is None and each.severity == "critical" for each in actual)


def test_a_column_without_values_is_undecided() -> None:
    """When no prompt is asked twice, nobody knows whether the wrapper is deterministic."""
    (actual,) = found(healthy(predicted("twice", completion())))
    expected = ("asked again, the answer is the same", None, "nothing to look at")

    assert expected == (actual.name, actual.passed, actual.observed)


@pytest.mark.parametrize(
    ("type_", "kwargs", "observed"),
    [
        pytest.param(
            "expect_column_values_to_not_be_null",
            {"column": "tone"},
            'Error: The column "tone" in BatchData does not exist.',
            id="raised by a metric",
        ),
        pytest.param(
            "expect_column_max_to_be_between",
            {"column": "output", "max_value": 5},
            "'<=' not supported between instances of 'str' and 'float'",
            id="raised by the expectation",
        ),
        pytest.param(
            "expect_table_row_count_to_equal",
            {"value": {"$PARAMETER": "prompts"}},
            "No value found for $PARAMETER prompts",
            id="raised before it ran",
        ),
    ],
)
def test_an_expectation_that_raises_is_undecided(
    tmp_path: Path, type_: str, kwargs: dict[str, Any], observed: str
) -> None:
    """Great Expectations reports exceptions in more than one shape; none passes for a failure."""
    (actual,) = found(healthy(), suite(tmp_path, type=type_, kwargs=kwargs))

    assert (actual.passed, actual.failing) == (None, ())
    assert actual.observed.startswith(observed)


def suite(folder: Path, **fields: Any) -> Path:
    """Write a suite of one expectation beside the schema of the chat contract."""
    given = {
        "description": "short",
        "severity": "warning",
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "output"},
    }
    (folder / "chat.json").write_text(
        json.dumps({"name": "chat", "expectations": [given | fields]}), encoding="utf-8"
    )
    shutil.copy(SUITES / "chat.schema.json", folder)
    return folder


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        pytest.param({"type": "expect_wonders"}, "'short': expect_wonders not found", id="type"),
        pytest.param({"kwargs": {}}, "'short': 1 validation error for", id="arguments"),
        pytest.param(
            {"severity": "info"}, "expectations[0].severity: Input should be", id="severity"
        ),
        pytest.param({"describtion": ""}, "expectations[0].describtion: Extra inputs", id="field"),
    ],
)
def test_a_suite_with_a_fault_is_refused(
    tmp_path: Path, fields: dict[str, Any], fault: str
) -> None:
    """Great Expectations would leave out an expectation it does not know, and pass."""
    with pytest.raises(CatalogueInvalid) as raised:
        check(healthy(), PROMPTS, suite(tmp_path, **fields))

    (actual,) = raised.value.faults
    assert actual.startswith(fault)
    assert raised.value.path == str(tmp_path / "chat.json")


def test_a_contract_without_a_suite_is_refused(tmp_path: Path) -> None:
    """A missing suite or schema is named, before anything is asked of it."""
    (suite(tmp_path) / "chat.schema.json").unlink()
    with pytest.raises(SourceMissing, match=r"chat\.schema\.json"):
        suite_digest(tmp_path, "chat")
    with pytest.raises(SourceMissing, match=r"prompt\.json"):
        check(texts(), PROMPTS, tmp_path)


def test_wrappers_can_be_checked_side_by_side() -> None:
    """Great Expectations keeps its contexts apart, so releases in threads don't mix."""
    loop = predicted("ferry", completion(LOOP))
    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(found, [healthy(), healthy(loop), texts()] * 2))

    assert [len(each) for each in actual] == [0, 1, 0] * 2


def test_checking_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    """No progress bars, no tracebacks: the log of a release belongs to the release."""
    found(healthy())

    assert capfd.readouterr() == ("", "")


def test_the_digest_follows_the_suite_and_its_schema(tmp_path: Path) -> None:
    """A change of either makes another digest; one of the other contract's files does not."""
    shutil.copytree(SUITES, tmp_path, dirs_exist_ok=True)
    seen = [suite_digest(tmp_path, "chat")]
    for name in ("prompt.json", "prompt.schema.json", "chat.schema.json", "chat.json"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"\n")
        seen.append(suite_digest(tmp_path, "chat"))

    assert seen[0] == seen[1] == seen[2] == suite_digest(SUITES, "chat")
    assert len({seen[0], seen[3], seen[4]}) == 3


def test_the_general_prompts_cover_what_a_release_may_meet() -> None:
    """They are many, cheap, and of every kind that the suites look at."""
    prompts = load_prompts(SUITES / "prompts" / "general.json")
    words = [len(" ".join(each.content for each in prompt.messages).split()) for prompt in prompts]
    groups = [prompt.group for prompt in prompts if prompt.group]

    assert len(prompts) >= 14
    assert sum(prompt.max_tokens for prompt in prompts) <= 420
    assert {8, 32} == {min(each := [p.max_tokens for p in prompts]), max(each)}
    assert (sum(prompt.repeat for prompt in prompts), len(groups), len(set(groups))) == (2, 3, 1)
    assert sum(bool(prompt.stop) for prompt in prompts) == 2
    assert any(len(prompt.messages) > 3 for prompt in prompts)
    assert (min(words), max(words) >= 400) == (1, True)
    assert any(ord(max(prompt.messages[0].content)) > 0xFFFF for prompt in prompts)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param("[", ("Invalid JSON: EOF while parsing a list at line 1 column 1",), id="cut"),
        pytest.param("[]", ("there has to be at least one prompt",), id="empty"),
        pytest.param(
            '[{"id": "A b", "purpose": "", "messages": [], "max_tokens": 0}]',
            (
                "[0].id: String should match pattern '^[a-z0-9-]+$'",
                "[0].messages: Tuple should have at least 1 item after validation, not 0",
                "[0].max_tokens: Input should be greater than 0",
            ),
            id="fields",
        ),
    ],
)
def test_faults_of_the_prompts_are_named_all_at_once(
    tmp_path: Path, text: str, faults: tuple[str, ...]
) -> None:
    """One look at the error is enough to correct the file."""
    path = tmp_path / "general.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueInvalid) as raised:
        load_prompts(path)

    assert (str(path), faults) == (raised.value.path, raised.value.faults)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        pytest.param([prompt("a"), prompt("b"), prompt("a")], "id 'a' occurs 2 times", id="id"),
        pytest.param(
            [prompt("a", group="sea", max_tokens=8), prompt("b", group="sea", max_tokens=9)],
            "group 'sea': its prompts have to agree in max_tokens and stop",
            id="group",
        ),
    ],
)
def test_prompts_that_contradict_each_other_are_refused(
    tmp_path: Path, given: list[Any], fault: str
) -> None:
    """Two prompts of one name, or two budgets in one call, could not be told apart."""
    path = tmp_path / "general.json"
    path.write_text(json.dumps([each.model_dump() for each in given]), encoding="utf-8")
    with pytest.raises(CatalogueInvalid) as raised:
        load_prompts(path)

    assert raised.value.faults == (fault,)


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_missing_prompts_are_missing(tmp_path: Path, name: str) -> None:
    """A path to nothing, or to a folder, is named with the way out."""
    with pytest.raises(SourceMissing, match="is not there: write it"):
        load_prompts(tmp_path / name)
