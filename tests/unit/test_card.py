"""A model card: the Hub reads its metadata, and every figure leads to the run that measured it."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from huggingface_hub import ModelCard

from slipway.report.card import MISSING, CardFacts, markdown
from slipway.report.markdown import escape
from slipway.values import (
    AuditInfo,
    ChampionPeriod,
    Estimate,
    Figures,
    GateResult,
    Manifest,
    ReleaseRecord,
)

PAGE = "http://127.0.0.1:5000/#/experiments/1/runs/"
LINK = re.compile(rf"^\[.+\]\({re.escape(PAGE)}[\w-]+\)$")
FIGURES: Figures = {
    "size_bytes": Estimate.exact(149_000_000),
    "kl_mean": Estimate(value=0.0123, low=0.011, high=0.0136),
    "decode_tokens_per_second": Estimate.exact(41.5),
}


def record(run_id: str, **changes: Any) -> ReleaseRecord:
    """Return what the run of a release, or of a candidate, holds."""
    fields: dict[str, Any] = {
        "name": "version 3",
        "run_id": run_id,
        "variant": "cpu-int8-rtn-block-64",
        "verdict": "promoted",
        "reasons": "all 39 checks and 15 gates pass",
        "figures": FIGURES,
    }
    return ReleaseRecord(**fields | changes)


def facts(**changes: Any) -> CardFacts:
    """Return what the card of a promoted version says."""
    gate = GateResult(
        metric="kl_mean",
        rule="at most 0.02",
        limit=0.02,
        observed=FIGURES["kl_mean"],
        state="pass",
        severity="critical",
    )
    manifest = Manifest(
        repo="acme/tiny",
        commit="ab" * 20,
        license="mit",
        chat_template_digest=None,
        variant="cpu-int8-rtn-block-64",
        settings={},
        weights={"model.safetensors": "0" * 64},
        artifact={"model.onnx": "1" * 64},
        tools={"onnxruntime": "1.32.0"},
    )
    period = ChampionPeriod(
        version=3,
        since=datetime(2026, 11, 29, tzinfo=UTC),
        until=None,
        kind="promotion",
        audit=AuditInfo(actor="ann@harbour", reason="all checks hold"),
        run_id="change",
    )
    other = record("run-b", variant="cpu-int4", verdict="failed", figures={})
    runs = ("release", "run-a", "run-b", "change")
    fields: dict[str, Any] = {
        "model": "tiny",
        "version": 3,
        "title": "Tiny",
        "record": record("release", gates=(gate,)),
        "manifest": manifest,
        "candidates": (record("run-a", verdict="selected"), other),
        "pages": {run: PAGE + run for run in runs},
        "history": (period,),
        "server": "http://127.0.0.1:8080",
    }
    return CardFacts(**fields | changes)


def rows(card: str, heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    section = card.partition(f"{heading}\n")[2].partition("\n#")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


def test_the_hub_reads_the_metadata() -> None:
    """Its own library writes them and reads them back."""
    data = ModelCard(markdown(facts())).data

    assert data.to_dict()["base_model_relation"] == "quantized"
    assert (data.base_model, data.license) == ("acme/tiny", "mit")
    assert (data.library_name, data.pipeline_tag) == ("onnxruntime-genai", "text-generation")
    (result,) = data.eval_results or ()
    assert (result.metric_type, result.metric_value) == ("kl_mean", 0.0123)
    assert result.source_url == f"{PAGE}release"


@pytest.mark.parametrize(
    ("declared", "read"),
    [(None, None), ("mit", "mit"), ("mit, apache-2.0", ["mit", "apache-2.0"])],
)
def test_the_license_is_what_the_source_declares(declared: str | None, read: object) -> None:
    """None is made up where none is declared."""
    manifest = facts().manifest.model_copy(update={"license": declared})
    card = markdown(facts(manifest=manifest))

    assert ModelCard(card).data.license == read
    assert (f"| License of the base model | **{MISSING}** |" in card) == (declared is None)


def test_every_figure_is_a_link_to_its_run() -> None:
    """Of the release, of its gates, and of each candidate its own."""
    card = markdown(facts())

    values = rows(card, "## Evaluation")
    assert len(values) == len(FIGURES)
    observed = [row[2] for row in rows(card, "### Gates")]
    candidates = rows(card, "### Candidates")
    cells = [
        *(row[1] for row in values),
        *observed,
        *(cell for row in candidates for cell in row[2:]),
    ]
    assert [cell for cell in cells if not LINK.match(cell)] == []
    assert f"[0.0123 (0.011 to 0.0136)]({PAGE}release)" in cells
    assert [row[0] for row in candidates] == ["`cpu-int8-rtn-block-64`", "`cpu-int4`"]
    assert all(f"{PAGE}run-b" in cell for cell in candidates[1][2:])


def test_what_only_a_person_can_say_is_marked() -> None:
    """With the words that the Hub's own template has; nothing is made up."""
    card = markdown(facts())

    for heading in ("## Uses", "## Bias, risks and limitations"):
        assert MISSING in card.partition(f"{heading}\n")[2].partition("\n## ")[0]


def test_the_headings_of_annex_iv_are_an_option() -> None:
    """All nine, in their order; what changed through the lifecycle is known from the history."""
    assert "Annex IV" not in markdown(facts())

    card = markdown(facts(), annex_iv=True)

    annex = card.partition("(Annex IV of Regulation (EU) 2024/1689)\n")[2]
    numbers = re.findall(r"^### (\d)\. ", annex, re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 10)]
    (period,) = rows(annex, "### 6. Changes through the lifecycle")
    by = escape("ann@harbour")
    assert period == ["3", f"[2026-11-29]({PAGE}change)", by, "all checks hold"]


@pytest.mark.parametrize(
    ("server", "options"),
    [("http://127.0.0.1:9090", " --port 9090"), ("https://models.example.org", "")],
)
def test_the_example_serves_at_the_port_of_the_servers_address(server: str, options: str) -> None:
    """An address without a port, as behind a proxy, says nothing about it."""
    assert f"slipway serve tiny --version 3{options}\n```\n" in markdown(facts(server=server))


def test_foreign_text_stays_text() -> None:
    """What somebody wrote as a reason can neither end a table nor add a link."""
    hostile = "fine |\n# Safe for medicine [here](https://evil.example)"

    card = markdown(facts(record=record("release", reasons=hostile)))

    assert "\n# Safe" not in card
    assert "Safe for medicine" in card
    assert re.search(r"(?<!\\)\]\(https:", card) is None


def test_a_release_without_gates_or_champions_has_a_card() -> None:
    """As one of an earlier version, or a candidate that waits."""
    card = markdown(facts(record=record("release"), history=(), candidates=()), annex_iv=True)

    assert "None was recorded." in card
    assert "No version was champion yet." in card
