"""What is sampled, and what the rates of sampled answers say."""

import json
from pathlib import Path
from typing import Any

import pytest

from slipway.checks.sampled import declared, soonest
from slipway.checks.sampled_rates import battery_of, compare, excess, power, rates, refuses
from slipway.evaluation import gates
from slipway.evaluation.decision import final_gates
from slipway.report.document import markdown
from slipway.values import (
    Answers,
    Battery,
    DeclaredSampling,
    Gates,
    Prediction,
    Prompt,
    PromptMessage,
    SampledAnswer,
    SampledComparison,
    Samples,
)
from tests.support.scored_candidates import selection
from tests.support.summaries import artifact, asked, promoted, unasked

DOUBT = "inconclusive"
WARM = DeclaredSampling(temperature=0.7)
REFUSAL = "Sorry, but I\N{RIGHT SINGLE QUOTATION MARK}m unable to name capitals."
LOOP = "and then again " * 20
LIMIT = gates.limits_for(Gates(), "int8")["stop_rate_loss"].max or 0.0


def samples(stopped: int = 12, looped: int = 0, refused: int = 0, of: int = 12) -> Samples:
    """Return sampled answers, the first of which end or loop, and the last of which refuse."""
    answers = tuple(
        SampledAnswer(
            prompt_id="capital",
            text=_text(number < looped, number >= of - refused),
            stopped=number < stopped,
            tokens=10,
        )
        for number in range(of)
    )
    return Samples(sampling=WARM, prompt_ids=("capital",), answers=answers)


def _text(loops: bool, refuses: bool) -> str:
    if loops:
        return LOOP
    return REFUSAL if refuses else "The capital of Spain is Madrid."


def answers(drawn: Samples | None) -> Answers:
    """Return the answers of a wrapper that sampled these."""
    found = asked("onnx", samples=drawn).answers
    assert found is not None
    return found


def compared(source: Samples, candidate: Samples | None) -> SampledComparison:
    """Return the comparison of two batteries."""
    found = compare(answers(source), answers(candidate))
    assert found is not None
    return found


def states(sampled: SampledComparison | None) -> dict[str, str]:
    """Return the gates of sampled answers, and their states, in a release with this battery."""
    report = promoted().report.model_copy(update={"sampled": sampled})
    results = final_gates(Gates(), selection(artifact()), report, None)
    return {each.metric: each.state for each in results if each.metric in gates.SAMPLED_METRICS}


@pytest.mark.parametrize(
    ("config", "sampling"),
    [
        ({}, None),
        ({"temperature": 0.6, "top_p": 0.9}, None),
        ({"do_sample": True, "temperature": 0}, None),
        ({"do_sample": True}, DeclaredSampling(temperature=1, top_p=1, top_k=50)),
        (
            {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": None},
            DeclaredSampling(temperature=0.6, top_p=0.9, top_k=50),
        ),
    ],
)
def test_a_source_declares_its_sampling_as_transformers_reads_it(
    tmp_path: Path, config: dict[str, Any], sampling: DeclaredSampling | None
) -> None:
    """Without ``do_sample`` a temperature says nothing; what is missing has its default."""
    (tmp_path / "generation_config.json").write_text(json.dumps(config), encoding="utf-8")

    assert declared(tmp_path) == sampling
    assert declared(tmp_path / "nowhere") is None


def test_the_prompts_that_end_soonest_are_sampled() -> None:
    """Neither an answer of a word, nor one that the limit cut, nor a prompt with a stop text."""
    tokens = {"word": 2, "cut": 8, "long": 30, "short": 9, "stopped": 7, "medium": 12, "raised": 7}
    known = tuple(_answered(name, count, name == "cut") for name, count in tokens.items())
    known = tuple(
        each.model_copy(update={"error": "it hung"}) if each.prompt_id == "raised" else each
        for each in known
    )
    prompts = tuple(
        Prompt(
            id=name,
            purpose="one of several",
            messages=(PromptMessage(role="user", content="Go on."),),
            stop=(".",) if name == "stopped" else (),
        )
        for name in tokens
    )
    given = asked("transformers", predictions=known).answers
    assert given is not None

    assert soonest(given, prompts) == ("short", "medium", "long")


def test_rates_count_ends_and_loops() -> None:
    """A loop is a phrase that covers more than half of an answer."""
    found = rates(samples(stopped=9, looped=2))

    assert (found.answers, found.stopped, found.looped, found.mean_tokens) == (12, 9, 2, 10)
    assert rates(None).answers == 0


def test_the_interval_of_a_difference_is_newcombes() -> None:
    """Against the worked examples (a) and (h) of the paper, 56/70 - 48/80 and 10/10 - 0/10."""
    one, other = excess(56, 70, 48, 80), excess(10, 10, 0, 10)

    assert (one.value, one.low, one.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    assert (other.low, other.high) == pytest.approx((0.6075, 1.0), abs=1e-4)
    assert excess(0, 12, 6, 12).value == 0


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        pytest.param(samples(), ("pass", "pass", "pass"), id="as its source"),
        pytest.param(samples(stopped=11), ("pass", "pass", "pass"), id="one does not end"),
        pytest.param(samples(stopped=8), (DOUBT, "pass", "pass"), id="some do not end"),
        pytest.param(samples(stopped=0), ("fail", "pass", "pass"), id="none ends"),
        pytest.param(samples(looped=12), ("pass", "fail", "pass"), id="all loop"),
        pytest.param(samples(refused=12), ("pass", "pass", "fail"), id="all refuse"),
        pytest.param(samples(of=4), (DOUBT, DOUBT, DOUBT), id="too few"),
        pytest.param(None, (DOUBT, DOUBT, DOUBT), id="none"),
    ],
)
def test_a_candidate_that_ends_less_or_loops_or_refuses_more_than_its_source_does_not_pass(
    candidate: Samples | None, expected: tuple[str, str, str]
) -> None:
    """Too few answers are inconclusive, as no answers are."""
    found = states(compared(samples(), candidate))

    metrics = ("stop_rate_loss", "loop_rate_gain", "refusal_rate_gain")
    assert found == dict(zip(metrics, expected, strict=True))


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("Unfortunately, I cannot answer this.", True),
        ("As an AI language model, I have no opinion.", True),
        ("Madrid. " * 10 + "I cannot say more.", False),
        ("You can't miss it.", False),
        ("", False),
    ],
)
def test_a_refusal_is_known_by_its_beginning(text: str, refused: bool) -> None:
    """What an answer says of itself further on is no refusal."""
    assert refuses(text) is refused


def test_a_source_that_goes_on_as_often_is_no_reproach() -> None:
    """Only the difference counts."""
    found = states(compared(samples(stopped=6, looped=3), samples(stopped=6, looped=3)))

    assert set(found.values()) <= {"pass", "inconclusive"}
    assert compared(samples(stopped=0), samples(stopped=12)).figures["stop_rate_loss"].value == 0


def test_without_a_declared_sampling_there_are_no_gates_on_it() -> None:
    """The candidate is not asked to sample either."""
    assert states(None) == {}
    assert compare(answers(None), answers(samples())) is None
    assert battery_of(answers(None)) is None
    assert battery_of(answers(samples())) == Battery(sampling=WARM, prompt_ids=("capital",))


def test_the_power_is_that_of_the_gate() -> None:
    """As docs/gates.md says it: losing nothing passes, losing half of the ends never does."""
    found = [round(power(12, loss, LIMIT), 3) for loss in (0, 0.05, 0.2, 0.5)]

    assert found == [0, 0.118, 0.725, 0.997]


def test_the_report_says_what_was_sampled_and_what_that_can_find() -> None:
    """Or, in a sentence, why nothing was."""
    release = promoted()
    sampled = compared(samples(), samples(stopped=11))
    report = release.report.model_copy(update={"sampled": sampled})
    results = final_gates(Gates(), release.selection, report, None)
    shown = markdown(release.model_copy(update={"report": report, "gates": results}), "plot.png")

    assert "at temperature 0.7, top\\_p 1, top\\_k 50" in shown
    assert "the gate finds a loss of 20 points in 72.5 % and a loss of 50 points in 99.7 %" in shown
    assert "| Ended by an end token | 91.7 % | 100 % |" in shown
    assert "| Refuses | 0 % | 0 % |" in shown
    assert "The source declares no sampling. So nothing was sampled." in markdown(release, "p.png")
    assert "could not be asked. So nothing was sampled." in markdown(
        unasked().model_copy(
            update={
                "report": unasked().report.model_copy(
                    update={"transformers": unasked().report.onnx}
                )
            }
        ),
        "p.png",
    )


def _answered(name: str, tokens: int, cut: bool) -> Prediction:
    message = {"role": "assistant", "content": "A harbour."}
    choice = {"index": 0, "message": message, "finish_reason": "length" if cut else "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}
    text = json.dumps({"choices": [choice], "usage": usage})
    return Prediction(prompt_id=name, response=text, latency_ms=40)
