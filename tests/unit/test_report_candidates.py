"""The report says why this candidate and no other, and what is new in it."""

from slipway.evaluation.outcome import candidate_outcome
from slipway.report.document import markdown
from slipway.values import Change, CheckResult, Selection
from tests.support.scored_candidates import REASON, SELECTED, failed, not_built, selected, selection
from tests.support.summaries import artifact, inconclusive, promoted, regressed, summary


def row(text: str, *words: str) -> str:
    """Return the only line of a report that holds all these words."""
    (found,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return found


def test_every_candidate_has_its_row_with_the_figure_that_decided() -> None:
    """A reader sees what failed and why, without opening another page."""
    text = markdown(promoted(), "p")

    assert row(text, "⛔ failed") == (
        "| cpu-int4-rtn-block-32-acc-level-4 | ⛔ failed: kl\\_mean is 0.57 (0.531 to 0.612), must "
        "be at most 0.15 | 98.2 MB | 0.57 (0.531 to 0.612) | 66 % | 2 | 61.2 tokens/s | 41 s |"
    )
    assert "❔ inconclusive: kl\\_mean is 0.148 (0.139 to 0.158), must" in row(
        text, "lm\\_head-int8 |"
    )
    assert row(text, "✅ selected").startswith(
        f"| **{SELECTED}** | ✅ selected: {REASON} | 137 MB |"
    )
    assert "| ⛔ not built: build was ended for memory at 6.0 GB | — | — |" in row(
        text, "k\\_quant"
    )


def test_a_selected_candidate_that_fails_a_gate_has_a_warning() -> None:
    """Where none passes, the closest goes on to be looked at; its row says which gate fails."""
    text = markdown(summary(artifact_bytes=341_706_901), "p")

    assert "⚠️ selected: " in row(text, f"**{SELECTED}** |")
    assert "size\\_bytes is 342 MB, must be at most 10 % above the source" in row(
        text, f"**{SELECTED}** |"
    )


def test_a_candidate_that_passes_beside_the_selected_one_says_so() -> None:
    """It did not fail: another one was preferred."""
    other = selected(artifact(variant="cpu-fp16"))
    both = selection(artifact(), candidates=(other, selected(artifact())))

    assert candidate_outcome(other, both) == (
        "passed",
        f"passes its gates too; selected was {REASON}",
    )
    assert candidate_outcome(not_built(), both).state == "not built"


def test_a_failed_gate_decides_before_an_inconclusive_one() -> None:
    """What is certain is what a reader has to know."""
    inconclusive_first = tuple(reversed(failed().gates))
    candidate = failed().model_copy(update={"gates": inconclusive_first})
    alone = Selection(candidates=(candidate, selected(artifact())), variant=SELECTED, reason="x")

    assert {gate.state for gate in candidate.gates} >= {"pass", "fail"}
    assert candidate_outcome(candidate, alone).state == "failed"
    assert (
        candidate_outcome(candidate.model_copy(update={"gates": ()}), alone).state == "not measured"
    )


def test_the_gates_of_the_selected_one_stand_with_what_was_observed() -> None:
    """Those of the smoke test too; a gate that blocks comes first."""
    text = markdown(inconclusive(), "p")

    lines = text.partition("## Gates")[2].splitlines()
    assert lines[4].startswith(
        "| ❔ inconclusive | Speed over whole answers (`tokens_per_second`) |"
    )
    assert (
        "| ✅ passed | KL divergence from the source, mean (`kl_mean`) | at most 0.02 | "
        "0.0041 (0.0036 to 0.0047) | critical |"
    ) in text


def test_without_any_gate_the_report_says_that_none_was_evaluated() -> None:
    """An empty table would look like gates that pass."""
    assert "No gate was evaluated" in markdown(promoted(gates=()), "p")


def test_the_divergence_is_told_by_kind_of_text_the_worst_first() -> None:
    """A language that suffers most is seen at once."""
    text = markdown(promoted(), "p")

    groups = text.partition("### KL divergence by kind of text")[2].splitlines()
    assert groups[4:7] == ["| german | 0.00574 |", "| english | 0.00369 |", "| code | 0.00287 |"]


def test_what_changed_since_the_champion_is_listed() -> None:
    """Whatever is new or gone has a dash on the other side."""
    text = markdown(regressed(), "p")

    assert "## What changed since version 2" in text
    assert row(text, "rope\\_theta") == "| config.json: rope\\_theta | 10000 | 100000 |"
    assert row(text, "weights: generation") == (
        "| weights: generation\\_config.json | — | efefefefefef |"
    )
    assert "No recorded change." in markdown(promoted(), "p")
    assert "What changed" not in markdown(inconclusive(), "p")


def test_many_changes_are_counted_and_not_all_shown() -> None:
    """A model of a hundred files must not bury the verdict."""
    many = tuple(Change(what=f"weights: {i}", before="a", after="b") for i in range(100))
    text = markdown(summary(changes=many), "p")

    assert text.count("| weights: ") == 30
    assert "70 more: compare `manifest.json`" in text


def test_prompts_that_the_champion_answers_better_are_shown_with_both_answers() -> None:
    """One prompt that got worse may matter more than a mean that got better."""
    text = markdown(regressed(), "p")

    assert "## What version 2 answers better" in text
    assert row(text, "| json-object | valid JSON |").endswith(
        '| {"name": "Ada", "age": 36} | {"name": "Ada", "age": 36 |'
    )
    assert "answers better" not in markdown(promoted(), "p")


def test_the_champions_answers_stand_beside_the_candidates() -> None:
    """The prompt that regressed comes first."""
    text = markdown(regressed(), "p")
    answers = text.partition("## Answers")[2].splitlines()

    assert answers[4] == "| Prompt | Reference | Candidate | Champion, version 2 |"
    assert answers[6].startswith("| json-object | ")
    assert row(text, "| emoji | A ship").endswith("| A ship 🚢. |")


def test_what_both_wrappers_agree_on_has_its_checks() -> None:
    """The reference is none if it is fed something else."""
    text = markdown(regressed(), "p")

    assert "### Parity of both wrappers" in text
    assert "| ⚠️ failed | both wrappers feed the model the same tokens | warning | emoji |" in text


def test_next_steps_tell_a_doubt_from_a_missing_figure() -> None:
    """More text narrows an interval; nothing narrows a figure that is not there."""
    release = inconclusive()
    gate = release.gates[2].model_copy(update={"state": "inconclusive"})
    text = markdown(release.model_copy(update={"gates": (gate, release.gates[-1])}), "p")

    assert "- Measure on more text, or look at the limit in the `gates`" in text
    assert "- Find out why `tokens_per_second` was not measured" in text


def test_the_comparison_with_the_champion_has_its_check() -> None:
    """The verdict counts it, so that a reader finds it."""
    release = regressed()
    check = CheckResult(name="as good", severity="warning", passed=False, failing=("json-object",))
    report = release.report.model_copy(update={"against_champion": (check,)})
    text = markdown(release.model_copy(update={"report": report}), "p")

    section = text.partition("### Comparison with the champion")[2]
    assert "| ⚠️ failed | as good | warning | json-object |" in section
    assert "### Comparison with the champion" not in markdown(release, "p")
