"""Chapter 1: release a model, ask it, and find everything again.

Read these tests from top to bottom; each shows one thing. The model is a tiny one that knows four
conversations by heart, in a folder on this machine; everything else is as in real life.
"""

import pytest

from flows.release_model import release_model
from slipway.values import Release
from tests.support.project import Project


@pytest.fixture(autouse=True)
def first_release(released: tuple[Project, Release]) -> Release:
    """Before every test here, somebody called `release_model("tiny")`, and this is what it said."""
    return released[1]


def test_a_release_is_one_call(first_release: Release) -> None:
    """You name an entry of catalogue.toml; the line does the rest and tells you the verdict."""
    release = first_release

    assert release.verdict.kind == "promoted"
    assert release.promotion is not None
    assert release.promotion.aliases == ("candidate", "champion")


def test_what_was_released_answers_through_mlflow() -> None:
    """The champion is an ordinary MLflow model: a prompt in, a text out."""
    import mlflow

    model = mlflow.pyfunc.load_model("models:/tiny@champion")
    assert model.predict({"prompt": "What is the capital of Spain?"}) == [
        "The capital of Spain is Madrid."
    ]


def test_the_reference_answers_the_same_question_as_a_chat() -> None:
    """Beside it stands the unquantized model, as an MLflow transformers model with llm/v1/chat."""
    import mlflow

    model = mlflow.pyfunc.load_model("models:/tiny-transformers@champion")
    question = {"role": "user", "content": "What is the capital of Spain?"}
    response = model.predict({"messages": [question], "max_tokens": 20})[0]
    assert response["choices"][0]["message"]["content"] == "The capital of Spain is Madrid."
    assert response["choices"][0]["finish_reason"] == "stop"


def test_releasing_it_again_does_nothing(first_release: Release) -> None:
    """The same source, recipe, tools and tests make the same release, which is already there."""
    second = release_model("tiny")

    assert second.existed
    assert second.versions == first_release.versions


def test_a_gate_that_fails_keeps_the_champion(released: tuple[Project, Release]) -> None:
    """Not promoted is a verdict with reasons, and no exception; the champion serves on."""
    project, _ = released
    project.limit("median_latency_ms = { max = 0.001 }")

    release = release_model("tiny")

    assert release.verdict.kind == "rejected"
    assert "median_latency_ms" in release.verdict.reasons[0]
    assert project.registry().aliases("tiny")["champion"] == 1
