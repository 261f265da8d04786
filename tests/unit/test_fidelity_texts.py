"""The texts for comparisons load as they are, and a folder at fault says all of it at once."""

import json
from pathlib import Path

import pytest

from slipway.errors import CatalogueInvalid, SourceMissing
from slipway.evaluation.texts import load_texts, texts_digest
from slipway.settings import PROJECT
from slipway.values import PromptMessage, Text

GENERAL = PROJECT / "expectations" / "texts" / "general"
ASKED = [{"role": "user", "content": "Where is the quay?"}]


def write(folder: Path, **files: str | list[object]) -> Path:
    """Write a folder of texts: a file per keyword, whose first underscore stands for the dot."""
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("_", ".", 1)).write_text(text, encoding="utf-8")
    return folder


def test_the_general_texts_cover_languages_code_tables_mathematics_and_chat() -> None:
    """One file a kind, and the kind is what a comparison is grouped by."""
    texts = load_texts(GENERAL)

    groups = {text.group for text in texts}
    languages = {"arabic", "chinese", "english", "french", "german", "hindi", "russian", "spanish"}
    assert languages | {"chat", "code-python", "code-sql", "json", "mathematics"} <= groups
    assert groups == {path.stem for path in GENERAL.iterdir()}
    assert all(bool(text.content) != bool(text.messages) for text in texts)


def test_a_text_file_is_one_text_and_a_json_file_many_conversations(tmp_path: Path) -> None:
    """In order of the files' names."""
    write(tmp_path, b_txt="Ahoy!\n", a_json=[ASKED, ASKED])

    first, second, third = load_texts(tmp_path)

    assert first == second == Text(group="a", messages=(PromptMessage(**ASKED[0]),))
    assert third == Text(group="b", content="Ahoy!")


def test_another_text_has_another_digest(tmp_path: Path) -> None:
    """So a reading of the old ones is not taken for one of the new."""
    before = load_texts(write(tmp_path, b_txt="Ahoy!"))
    again = load_texts(tmp_path)
    after = load_texts(write(tmp_path, b_txt="Ahoi!"))

    assert texts_digest(before) == texts_digest(again) != texts_digest(after)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """Each with the file that it is in, and a conversation's with its place."""
    write(tmp_path, a_txt=" \n", b_md="#", d_json=[[{"role": "user"}]])
    write(tmp_path, c_json=[ASKED, [], ASKED * 2, [*ASKED, {"role": "assistant", "content": "x"}]])
    (tmp_path / "e.txt").write_bytes(b"\xff")

    with pytest.raises(CatalogueInvalid) as caught:
        load_texts(tmp_path)

    rule = "user and assistant have to take turns, and the last message is the user's"
    assert caught.value.faults == (
        "a.txt: it is empty",
        "b.md: a text is a .txt or a .json file",
        *(f"c.json: [{place}]: {rule}" for place in (1, 2, 3)),
        "d.json: [0][0].content: Field required",
        "e.txt: it is not UTF-8",
    )


def test_a_folder_that_is_missing_or_empty_is_no_comparison(tmp_path: Path) -> None:
    """Nothing that was not compared may look as if it were the same."""
    with pytest.raises(SourceMissing, match="nowhere was not found"):
        load_texts(tmp_path / "nowhere")
    with pytest.raises(CatalogueInvalid, match="at least one text"):
        load_texts(tmp_path)
