"""Every error says what happened and what to do, and survives a process border."""

import pickle
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from slipway import errors
from slipway.errors import CatalogueInvalid, SlipwayError

#: Values for fields, by their annotation.
SAMPLES: dict[Any, Any] = {
    int: 3_000_000_000,
    float: 60.5,
    str | None: None,
    tuple[str, ...]: ("one", "two"),
}
RETRYABLE = {
    errors.NoModelServer,
    errors.NotServing,
    errors.RegistryConflict,
    errors.ScanPending,
    errors.SigstoreFailed,
    errors.StoreDamaged,
    errors.Unreachable,
}


def kinds(root: type[SlipwayError] = SlipwayError) -> Iterator[type[SlipwayError]]:
    """Yield every error below ``root``, whichever module defines it."""
    for kind in root.__subclasses__():
        yield kind
        yield from kinds(kind)


def raisable() -> list[type[SlipwayError]]:
    """Return the errors that are raised: those without subclasses."""
    return [kind for kind in kinds() if not kind.__subclasses__()]


def sample(kind: type[SlipwayError]) -> SlipwayError:
    """Return an error of this kind."""
    return kind(*(SAMPLES.get(field.type, f"a text for {field.name}") for field in fields(kind)))


@pytest.mark.parametrize("kind", raisable())
def test_an_error_says_what_happened_what_to_do_and_whether_to_try_again(
    kind: type[SlipwayError],
) -> None:
    """Its text is both; its exit code tells input that has to change from all other failures."""
    happened, advice = re.split("; |: |\n", kind.text, maxsplit=1)

    assert happened
    assert advice
    assert kind.exit_code == (2 if issubclass(kind, errors.BadInput) else 1)
    assert kind.retryable is (kind in RETRYABLE)


def test_every_error_is_defined_in_one_module() -> None:
    """A child process looks there for what to raise again."""
    assert {kind.__module__ for kind in kinds()} == {errors.__name__}


@pytest.mark.parametrize("kind", raisable())
def test_an_error_survives_a_process_border(kind: type[SlipwayError]) -> None:
    """Its type, its fields and its text are the same behind it."""
    error = sample(kind)

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


@pytest.mark.parametrize("kind", raisable())
def test_an_errors_text_is_its_own_and_one_line(kind: type[SlipwayError]) -> None:
    """A log shows it whole; a catalogue's faults have a line each."""
    text = str(sample(kind))

    assert "text" in vars(kind)
    assert text.count("\n") == (2 if kind is CatalogueInvalid else 0)
    assert "None" not in text
    assert "()" not in text


@pytest.mark.parametrize("kind", raisable())
def test_an_errors_text_holds_what_it_is_about(kind: type[SlipwayError]) -> None:
    """No field that is text is left out, or it would not be worth carrying."""
    error = sample(kind)

    texts = [field.name for field in fields(kind) if field.type is str]
    assert [name for name in texts if f"a text for {name}" not in str(error)] == []
