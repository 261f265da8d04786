"""Prompts are JSON or JSONL; what is wrong with a file is told in one line with its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from slipway.checks.prompt_files import load_prompts, prompts_digest, prompts_of, prompts_path
from slipway.errors import CatalogueInvalid, SourceMissing
from slipway.system.store import sha256
from tests.support import summaries
from tests.support.healthy_answers import prompt

GOOD = {"id": "a", "purpose": "", "messages": [{"role": "user", "content": "?"}]}


def test_a_list_and_its_lines_are_the_same_suite(tmp_path: Path) -> None:
    """With everything that a prompt can have; empty lines and a BOM change nothing."""
    full = GOOD | {
        "tags": ["fact"],
        "repeat": True,
        "expected": ["x"],
        "forbidden": ["y"],
        "matches": ["^x"],
        "json_schema": {"type": "object"},
        "number": {"value": 5, "tolerance": 0.5},
    }
    (tmp_path / "a.json").write_text(json.dumps([full, GOOD | {"id": "b"}], indent=2))
    lines = [json.dumps(full), "", json.dumps(GOOD | {"id": "b"})]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")

    first, second = load_prompts(tmp_path / "a.json")

    assert load_prompts(tmp_path / "a.jsonl") == (first, second)
    assert (first.repeat, first.has_right_answer, second.has_right_answer) == (1, True, False)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"matches": ["ok", "("]}, "matches[1]: '(' is no regular expression: missing ), unterm"),
        ({"json_schema": {"type": "objekt"}}, "json_schema: $.type: 'objekt' is not valid under"),
        ({"json_schema": {"a": [{"$ref": "https://x.example/s"}]}}, "json_schema: refers to 'http"),
        ({"number": {"value": "many"}}, "number.value: Input should be a valid number, unable"),
        ({"number": {"value": 1, "tolerance": -1}}, "number.tolerance: Input should be greater"),
        ({"tags": ["A b"]}, "tags[0]: String should match pattern"),
        ({"repeat": 10}, "repeat: Input should be less than or equal to 9"),
        ({"expected": [""]}, "expected[0]: String should have at least 1 character"),
        ({"judge": "../x:y"}, "judge: String should match pattern"),
        ({"messages": [{"role": "bot", "content": ""}]}, "messages[0].role: Input should be 'sys"),
        ({"expectd": []}, "expectd: Extra inputs are not permitted"),
    ],
)
def test_a_fault_names_file_line_and_field(
    tmp_path: Path, fields: dict[str, Any], fault: str
) -> None:
    """The same in both formats; the line of a list's item is where it begins."""
    faults = []
    for name, text in {
        "s.jsonl": f"{json.dumps(GOOD)}\n\n{json.dumps(GOOD | fields)}",
        "s.json": f"[\n{json.dumps(GOOD)},\n  {json.dumps(GOOD | fields)}\n]",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(CatalogueInvalid) as raised:
            load_prompts(tmp_path / name)
        faults += raised.value.faults

    first, second = faults
    assert first.startswith(f"s.jsonl:3: {fault}")
    assert second.startswith(f"s.json:3: {fault}")
    assert "\n" not in first


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    """As is a file that is no text."""
    path = tmp_path / "s.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{{")
    with pytest.raises(CatalogueInvalid, match=r"s\.jsonl:2: Invalid JSON: EOF while parsing"):
        load_prompts(path)
    path.write_bytes(b"\xff")
    with pytest.raises(CatalogueInvalid, match="can't decode byte 0xff"):
        load_prompts(path)


def test_a_judge_is_found_beside_the_suite_and_not_executed(tmp_path: Path) -> None:
    """A suite is also read where no code of the project may run."""
    path = tmp_path / "s.json"
    path.write_text(json.dumps([GOOD | {"judge": f"own:{each}", "id": each} for each in "fg"]))

    faults = []
    for code in (None, "def f(:", "1 / 0\ndef f(prompt, answer): ...", "f = g = 1"):
        if code:
            (tmp_path / "own.py").write_text(code)
        with pytest.raises(CatalogueInvalid) as raised:
            load_prompts(path)
        faults.append(raised.value.faults)
    (tmp_path / "own.py").write_text("1 / 0\ndef f(p, a): ...\ndef g(p, a): ...")

    assert len(load_prompts(path)) == 2
    assert faults[0][0] == "judge 'own:f': own.py is not beside s.json"
    assert faults[1][0].startswith("judge 'own:f': own.py is no Python: ")
    assert faults[2] == ("judge 'own:g': own.py has no function g",)
    assert len(faults[3]) == 2


def test_the_digest_of_a_suite_follows_its_judges(tmp_path: Path) -> None:
    """Without a judge it is that of the file, as in earlier releases."""
    entry = summaries.entry(suite="s")
    (tmp_path / "prompts").mkdir()
    path, own = tmp_path / "prompts" / "s.jsonl", tmp_path / "prompts" / "own.py"
    path.write_text(json.dumps(GOOD))
    plain = prompts_digest(entry, tmp_path)
    assert plain == sha256(path)
    path.write_text(json.dumps(GOOD | {"judge": "own:f"}))
    seen = set()
    for code in ("def f(p, a): ...", "def f(p, a): ...  # other"):
        own.write_text(code)
        seen.add(prompts_digest(entry, tmp_path))

    assert len(seen) == 2


def test_an_entry_chooses_prompts_by_tag(tmp_path: Path) -> None:
    """A tag that no prompt has would leave nothing, or less than was meant."""
    (tmp_path / "prompts").mkdir()
    tags = {"a": ["fact"], "b": ["code", "long"], "c": []}
    lines = (json.dumps(GOOD | {"id": name, "tags": each}) for name, each in tags.items())
    (tmp_path / "prompts" / "s.jsonl").write_text("\n".join(lines))

    def asked(*chosen: str) -> list[str]:
        entry = summaries.entry(suite="s", suite_tags=chosen)
        return [prompt.id for prompt in prompts_of(entry, tmp_path)]

    assert (asked(), asked("long"), asked("code", "fact")) == (["a", "b", "c"], ["b"], ["a", "b"])
    with pytest.raises(CatalogueInvalid, match=r"no prompt has the tag 'facts' of .*: code, fact"):
        asked("code", "facts")


def test_two_files_of_one_suite_are_refused(tmp_path: Path) -> None:
    """One of them would be ignored."""
    (tmp_path / "prompts").mkdir()
    entry = summaries.entry(suite="s")
    assert prompts_path(entry, tmp_path).name == "s.json"
    for name in ("s.json", "s.jsonl"):
        (tmp_path / "prompts" / name).touch()

    with pytest.raises(CatalogueInvalid, match=r"both s\.json and s\.jsonl exist; remove one"):
        prompts_path(entry, tmp_path)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param(
            "[",
            ("general.json: no JSON: Expecting value: line 1 column 2 (char 1)",),
            id="cut",
        ),
        pytest.param("{}", ("general.json: no JSON: expected a list of prompts",), id="object"),
        pytest.param("[]", ("there has to be at least one prompt",), id="empty"),
        pytest.param(
            '[{"id": "A b", "purpose": "", "messages": [], "max_tokens": 0}]',
            (
                "general.json:1: id: String should match pattern '^[a-z0-9-]+$'",
                (
                    "general.json:1: messages: Tuple should have at least 1 item after validation, "
                    "not 0"
                ),
                "general.json:1: max_tokens: Input should be greater than 0",
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
    """Two prompts of one id, or two limits in one call, are ambiguous."""
    path = tmp_path / "general.json"
    path.write_text(json.dumps([each.model_dump() for each in given]), encoding="utf-8")
    with pytest.raises(CatalogueInvalid) as raised:
        load_prompts(path)

    assert raised.value.faults == (fault,)


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_missing_prompts_are_missing(tmp_path: Path, name: str) -> None:
    """A path to nothing, or to a folder, is named with the way out."""
    with pytest.raises(SourceMissing, match="was not found: write it"):
        load_prompts(tmp_path / name)
