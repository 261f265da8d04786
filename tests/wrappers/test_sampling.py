"""Temperature, seed and their kin, against a model that runs."""

from typing import Any

import pytest

UNTAUGHT = "Where does the harbour end?"


def test_temperature_zero_repeats_itself(model: Any) -> None:
    """Greedy answers do not depend on the seed."""
    answers = {model.generate(UNTAUGHT, temperature=0, seed=seed).text for seed in (1, 2, 3)}

    assert len(answers) == 1


def test_a_seed_makes_drawn_answers_repeatable(model: Any) -> None:
    """The same seed draws the same answer, other seeds and no seed draw others."""
    drawn = {"temperature": 2.0, "top_k": 0, "max_tokens": 12}
    once, again = (model.generate(UNTAUGHT, seed=7, **drawn) for _ in range(2))
    others = {model.generate(UNTAUGHT, seed=seed, **drawn).text for seed in (None, None, 8, 9)}

    assert once == again
    assert len(others | {once.text}) > 2


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 0}, {"top_p": 1e-6, "top_k": 0}])
def test_narrow_sampling_is_greedy(model: Any, narrow: dict[str, float]) -> None:
    """With only the likeliest token to draw from, temperature changes nothing."""
    drawn = model.generate(UNTAUGHT, temperature=2, max_tokens=12, **narrow)

    assert model.generate(UNTAUGHT, max_tokens=12) == drawn


def test_more_choices_than_the_vocabulary_holds_are_all_of_it(model: Any) -> None:
    """A generous ``top_k`` is not an error, unlike in the runtime."""
    drawn = {"temperature": 2, "seed": 1, "max_tokens": 12}

    assert model.generate(UNTAUGHT, top_k=320, **drawn) == model.generate(
        UNTAUGHT, top_k=10_000, **drawn
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", 2.5),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", float("nan")),
        ("top_p", 1.1),
        ("top_k", -2),
        ("seed", -1),
        ("seed", 2**31),
        ("stop", ""),
        ("stop", ["a", ""]),
        ("stop", "a" * 257),
        ("stop", ["a"] * 33),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(model: Any, field: str, value: Any) -> None:
    """The message starts with the field, so that a caller knows what to change."""
    with pytest.raises(ValueError, match=rf"^{field} is "):
        model.stream("Hi", **{field: value})
