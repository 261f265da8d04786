"""Many requests at a time: the same answers as alone, and nobody waits for the end of another."""

import itertools
import time
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from tests.support.tiny_phi3 import CONVERSATIONS

QUESTIONS = [*CONVERSATIONS, *(f"{each} Please." for each in CONVERSATIONS)]
LONG = "Why? " * 60


@pytest.fixture(autouse=True)
def counted_time(wrapper: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every look at the clock take a second, so that the order of steps is always the same."""
    clock = itertools.count().__next__
    counted = SimpleNamespace(monotonic=clock, thread_time=time.thread_time)
    monkeypatch.setattr(wrapper, "time", counted)


def finish(scheduler: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every outcome with its key until nothing is pending."""
    while scheduler.pending:
        yield from scheduler.step()


def answers(scheduler: Any) -> dict[Any, tuple[str, str | None, int]]:
    """Return text, finish reason and number of tokens of each answer."""
    texts: dict[Any, str] = {}
    ends = {}
    for key, piece in finish(scheduler):
        assert not isinstance(piece, Exception), piece
        texts[key] = texts.get(key, "") + piece.text
        ends[key] = (texts[key], piece.finish_reason, piece.completion_tokens)
    return ends


def alone(model: Any, prompt: str, **sampling: Any) -> tuple[str, str | None, int]:
    """Return the answer that the request gets without others."""
    given = model.generate(prompt, **sampling)
    return given.text, given.finish_reason, given.completion_tokens


@pytest.mark.parametrize(
    "sampling", [{}, {"stop": ["a", "o w"]}, {"temperature": 0.9, "seed": 4}, {"max_tokens": 3}]
)
def test_answers_at_the_same_time_are_those_alone(model: Any, sampling: dict[str, Any]) -> None:
    """Also where stop strings, a seed or a limit end them."""
    sampling = {"max_tokens": 40} | sampling
    scheduler = model.scheduler(8)
    for question in QUESTIONS:
        scheduler.add(question, question, **sampling)

    given = answers(scheduler)

    assert given == {question: alone(model, question, **sampling) for question in QUESTIONS}


def test_the_engine_generates_for_a_batch(
    model: Any, wrapper: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of eight requests at a time; a grammar is one of them."""
    sizes = []
    begin = wrapper.BatchLane.__init__
    monkeypatch.setattr(
        wrapper.BatchLane,
        "__init__",
        lambda self, model, rows: (sizes.append(len(rows)), begin(self, model, rows))[1],
    )
    scheduler = model.scheduler(8)
    scheduler.add("guided", "Hi", guidance=("regex", "[0-9]{3}"))
    for question in QUESTIONS[:7]:
        scheduler.add(question, question, max_tokens=20)

    given = answers(scheduler)

    assert sizes == [4, 4]
    assert given.pop("guided")[0].isdigit()
    assert given == {each: alone(model, each, max_tokens=20) for each in QUESTIONS[:7]}


def test_rows_of_a_table_are_answered_together_and_in_their_order(model: Any) -> None:
    """As each of them alone."""
    rows = pd.DataFrame({"prompt": QUESTIONS})

    assert model.predict(None, rows) == [model.generate(each).text for each in QUESTIONS]


def test_a_short_request_does_not_wait_for_a_long_prompt(
    model: Any, wrapper: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its first token before the prompt is read, and its answer before the long one."""
    monkeypatch.setattr(wrapper, "SLICE_TOKENS", 16)
    scheduler = model.scheduler(8)
    scheduler.add("long", LONG, max_tokens=60)
    scheduler.step()
    scheduler.add("short", "Hi", max_tokens=5)

    order = [key for key, _ in finish(scheduler)]

    assert order[0] == "short"
    assert "long" not in order[: order.index("short") + 1]
    assert order[-1] == "long"


def test_a_cancelled_request_ends_and_its_neighbours_continue(model: Any) -> None:
    """In a batch, alone, and while it waits."""
    scheduler = model.scheduler(4)
    for key, question in enumerate(QUESTIONS[:6]):
        scheduler.add(key, question, max_tokens=20)
    scheduler.step()
    for key in (1, 5):
        scheduler.cancel(key)

    given = answers(scheduler)

    assert given.keys() >= {0, 2, 3, 4}
    assert all(given[key][1] for key in (0, 2, 3, 4))


def test_a_batch_that_fails_continues_in_halves(
    model: Any, wrapper: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some tokens too; the answers are those that they would have been."""
    step, steps = wrapper.BatchLane.step, itertools.count()

    def fails(self: Any) -> Any:
        if next(steps) >= 3 and len(self.answers) > 2:
            raise MemoryError
        return step(self)

    monkeypatch.setattr(wrapper.BatchLane, "step", fails)
    scheduler = model.scheduler(8)
    for question in QUESTIONS[:4]:
        scheduler.add(question, question, max_tokens=30)

    given = answers(scheduler)

    expected = {each: alone(model, each, max_tokens=30) for each in QUESTIONS[:4]}
    assert given == expected


def test_a_request_that_fails_fails_alone(
    model: Any, wrapper: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Halves are tried until only the bad one is left."""
    slices = wrapper.OnnxGenaiModel.generator

    def generator(self: Any, answer: Any) -> Any:
        if answer.key == "bad":
            raise MemoryError
        return slices(self, answer)

    def fails(self: Any) -> Any:
        if any(answer.key == "bad" for answer in self.answers):
            raise MemoryError
        return step(self)

    step = wrapper.BatchLane.step
    monkeypatch.setattr(wrapper.OnnxGenaiModel, "generator", generator)
    monkeypatch.setattr(wrapper.BatchLane, "step", fails)
    scheduler = model.scheduler(8)
    for key in ("a", "bad", "b", "c"):
        scheduler.add(key, "Hi", max_tokens=4)

    last = dict(finish(scheduler))

    assert isinstance(last.pop("bad"), MemoryError)
    assert last.keys() == {"a", "b", "c"}
    assert all(piece.finish_reason for piece in last.values())


def test_requests_wait_while_there_is_no_memory_for_their_cache(model: Any) -> None:
    """One that never fits is refused, with the field that would help."""
    scheduler = model.scheduler(8, 100)
    scheduler.add("first", "Hi", max_tokens=60)
    scheduler.add("second", "Hello", max_tokens=60)
    order = [key for key, _ in finish(scheduler)]

    with pytest.raises(ValueError, match=r"^max_tokens and the prompt need") as refused:
        scheduler.add("third", "Hi", max_tokens=200)

    assert order == sorted(order)
    assert (refused.value.param, refused.value.code) == ("max_tokens", "memory_limit_exceeded")
