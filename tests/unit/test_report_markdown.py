"""Nothing that comes from a model or a source can break a report."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from slipway.report.document import description, markdown
from slipway.report.markdown import CELL_CHARACTERS, Markdown, code, escape, url
from slipway.values import Change, CheckResult, Regression
from tests.support.scored_candidates import selection
from tests.support.summaries import ANSWERS, answering, artifact, asked, summary, weights

REGISTRY_CHARACTERS = 5_000  # of a version's description, in MLflow's database
RENDERED_BYTES = 102_400  # MLflow's page shows the source of a longer report
WORD_JOINER = "\u2060"
HOSTILE = st.text(st.sampled_from("ab \t\n|\\`*_~[]()<>&;#!$\"'-+=.:/@w1\x00\x1b\u202e\u2028é港🚢"))


def cells(text: str) -> list[list[Token]]:
    """Return what a Markdown renderer makes of each cell of ``text``, a table."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return [token.children or [] for token in tokens if token.type == "inline"]


@given(HOSTILE)
@example("*a* _b_ ~~c~~ `d`")
@example("[a](b) ![c](d) <e> <https://f>")
@example("a | b \\| c \\\\| d \\* e")
@example("&lt; &#124; &amp;amp;")
@example("a\nb\n\n# c\n- d\n---")
def test_any_text_stays_in_its_cell_and_reads_as_it_is(text: str) -> None:
    """No letter of a foreign text is markup, and none but unseen ones is lost."""
    shown = "".join(" " if ord(c) < 32 or c in "\u202e\u2028" else c for c in text)
    expected = " ".join(shown.split())[:CELL_CHARACTERS]

    head, cell, after = cells(f"| a | b |\n| --- | --- |\n| {escape(text)} | z |")[1:]

    assert [token.type for token in cell] == ["text"] * len(cell)
    assert "".join(token.content for token in cell).replace(WORD_JOINER, "") == expected
    assert [token.content for token in (*head, *after)] == ["b", "z"]


@pytest.mark.parametrize("text", ["http://a.example", "www.a.example", "a@b.example", "@root"])
def test_an_address_in_foreign_text_does_not_become_a_link(text: str) -> None:
    """Renderers link bare addresses, so that they have to be broken where a reader sees nothing."""
    shown = escape(f"see {text} now")

    assert text not in shown
    assert shown.replace(WORD_JOINER, "") == f"see {text} now"


def test_a_hostile_answer_changes_nothing_but_its_own_row() -> None:
    """The rest of the report is what it would be with a harmless answer."""
    attack = "</td></table><script>x</script>\n\n# Promoted\n| a | b |\n```\n[x](javascript:y)"
    harmless = markdown(answering("a ship"), "picture.png").splitlines()

    hostile = markdown(answering(attack), "picture.png").splitlines()
    changed = [pair for pair in zip(harmless, hostile, strict=True) if pair[0] != pair[1]]

    assert [before for before, _ in changed] == [line for line in harmless if "| capital |" in line]
    assert "<" not in changed[0][1]


def test_foreign_text_outside_the_answers_is_harmless_too() -> None:
    """License, variant, errors and observations come from elsewhere as well."""
    attack = "<img src=x>|`"
    check = CheckResult(name=attack, severity="critical", passed=False, observed=attack)
    onnx = asked("onnx", checks=(check,)).model_copy(update={"error": attack})
    hostile = summary(
        onnx,
        changes=(Change(what=attack, before=attack, after=None),),
        regressions=(Regression(prompt_id=attack, what="x", champion=attack, candidate=attack),),
    ).model_copy(
        update={
            "selection": selection(artifact(variant=attack), reason=attack),
            "weights": weights(license=attack),
        }
    )

    text = markdown(hostile, "picture.png") + description(hostile)

    assert "<" not in text
    assert text.count("&lt;img src=x&gt;\\|\\`") == 21


def test_an_address_cannot_end_its_link() -> None:
    """Brackets, spaces and pipes are quoted, and a data address stays as it is."""
    assert url("http://a/b) [c](d|e") == "http://a/b%29%20%5Bc%5D%28d%7Ce"
    assert url("data:image/png;base64,iVBO+/8=") == "data:image/png;base64,iVBO+/8="


def test_long_answers_are_cut_so_that_mlflow_still_renders_the_report() -> None:
    """Above 100 kB its page shows the source instead."""
    long = summary(asked("onnx", dict.fromkeys(ANSWERS, "sea " * 50_000)))
    text = markdown(long, "picture.png")

    assert len(text.encode()) < RENDERED_BYTES
    assert "sea sea…" in text


def test_a_description_of_many_faults_fits_into_the_registry() -> None:
    """Four reasons are told, and the others counted."""
    check = CheckResult(name="&" * 300, severity="critical", passed=False, observed="|" * 80)
    text = description(summary(asked("onnx", checks=(check,) * 30)))

    assert len(text) < REGISTRY_CHARACTERS
    assert "; and 26 more." in text


def test_a_code_span_cannot_be_ended_from_within() -> None:
    """Markdown knows no escapes inside of one, so that what could end it is left out."""
    assert code("models:/a_b/3") == "`models:/a_b/3`"
    assert code("a`b|c\nd") == "`a b c d`"


def test_only_what_is_marked_as_markdown_is_not_escaped() -> None:
    """The template escapes every other value by default."""
    assert escape(Markdown("**a**")) == "**a**"
    assert escape("**a**") == "\\*\\*a\\*\\*"
