"""Whoever asks what should serve sees the registry before a move or after it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from slipway.errors import RegistryConflict
from slipway.redeploy.compare import champion_state
from tests.support.fake_registry import FakeRegistry


@contextmanager
def half_done(fake_registry: FakeRegistry, key: str) -> Iterator[threading.Event]:
    """Hold a promotion between the alias that has moved and the mark that says released."""
    moved, go_on = threading.Event(), threading.Event()
    describe = fake_registry.registry._describe

    def wait(*arguments: object) -> None:
        moved.set()
        assert go_on.wait(20)
        describe(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as mover:
        patch.setattr(fake_registry.registry, "_describe", wait)
        promotion = mover.submit(fake_registry.release, key)
        try:
            assert moved.wait(20)
            yield go_on
        finally:
            go_on.set()
            promotion.result(20)


def test_a_redeploy_waits_for_the_end_of_a_promotion(fake_registry: FakeRegistry) -> None:
    """The alias moves first; a look at that moment would find a champion that is not released."""
    fake_registry.release("one")

    with half_done(fake_registry, "two") as go_on, ThreadPoolExecutor(1) as reader:
        wanted = reader.submit(champion_state, fake_registry.registry, fake_registry.model)
        assert fake_registry.registry.champion(fake_registry.model) == 2
        assert "slipway.release" not in fake_registry.tags(2)
        with pytest.raises(TimeoutError):
            wanted.result(1)
        go_on.set()
        seen = wanted.result(20)

    assert seen is not None
    assert (seen.version, seen.status) == (2, "released")


def test_a_move_on_another_machine_is_an_error_to_try_again(fake_registry: FakeRegistry) -> None:
    """No lock reaches there; its open entry in the record does."""
    fake_registry.release("one")
    client = fake_registry.registry.client
    experiment = client.get_experiment_by_name(f"{fake_registry.model}/promotions")
    (run,) = client.search_runs([experiment.experiment_id])
    copied = {**run.data.tags, "slipway.lock": "another machine's"}
    client.create_run(experiment.experiment_id, tags=copied)

    with pytest.raises(RegistryConflict, match="another machine moves its aliases") as caught:
        champion_state(fake_registry.registry, fake_registry.model)

    assert caught.value.retryable
