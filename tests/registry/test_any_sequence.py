"""Whatever people and gates do in whatever order, the registry keeps its promises."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from slipway.errors import MoveRefused
from slipway.registry import Registry
from slipway.values import PromotionTarget, Rejected
from tests.support.fake_registry import ANN, FakeRegistry, fresh_name


class HubProject(RuleBasedStateMachine):
    """Does things to a registry, and keeps what should come of them in plain fields."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        super().__init__()
        name = fresh_name()
        self.fake_registry = FakeRegistry(registry, folder / name, name)
        self.champion: int | None = None
        self.previous: int | None = None
        self.waiting: int | None = None
        self.keys: dict[int, str] = {}
        self.quarantined: list[int] = []
        self.approved: set[int] = set()

    @rule()
    def promote(self) -> None:
        """A release passes its gates and serves."""
        version = self._release("champion")
        self.waiting = None
        self._serve(version)

    @rule()
    def wait(self) -> None:
        """A release passes its gates and waits for a person."""
        self.waiting = self._release("approval")

    @rule()
    def keep(self) -> None:
        """A gate refuses a candidate; MLflow does not use its number again."""
        candidate = self.fake_registry.register("kept")
        self.fake_registry.registry.withdraw(candidate, Rejected(reasons=("too slow",)))

    @precondition(lambda self: self.waiting is not None)
    @rule()
    def approve(self) -> None:
        """A person approves what waits."""
        self.fake_registry.registry.decide(
            self.fake_registry.model, self.waiting or 0, "approve", ANN
        )
        self._serve(self.waiting or 0)
        self.waiting = None

    @precondition(lambda self: self.waiting is not None)
    @rule()
    def reject(self) -> None:
        """A person rejects what waits."""
        self.fake_registry.registry.decide(
            self.fake_registry.model, self.waiting or 0, "reject", ANN
        )
        self.quarantined.append(self.waiting or 0)
        self.waiting = None

    @rule()
    def roll_back(self) -> None:
        """A person goes back to the champion of before, if there is one that may serve."""
        self._roll_back(None, self.previous)

    @rule()
    def roll_back_to_the_first(self) -> None:
        """A person names a version, which may serve or not."""
        self._roll_back(1, 1)

    @precondition(lambda self: self.quarantined)
    @rule()
    def lift(self) -> None:
        """A person wants what was quarantined last to serve again."""
        version = self.quarantined[-1]
        assert (
            self.fake_registry.registry.lift_quarantine(
                self.fake_registry.model, self.keys[version], ANN
            )
            is not None
        )
        self.waiting = None
        self._serve(version)

    @precondition(lambda self: self._may_serve(self.previous))
    @rule()
    def move_by_hand(self) -> None:
        """A person changes the aliases in the MLflow UI."""
        for name in (self.fake_registry.model, f"{self.fake_registry.model}-transformers"):
            set_alias = self.fake_registry.registry.client.set_registered_model_alias
            set_alias(name, "champion", str(self.previous))
            set_alias(name, "previous", str(self.champion))
        self.champion, self.previous = self.previous, self.champion

    @invariant()
    def both_models_have_the_aliases_that_they_should(self) -> None:
        """All or nothing, and never the same version twice."""
        served, reference = self.fake_registry.aliases()
        assert served == reference
        assert served.get("champion") == self.champion
        assert served.get("previous") == self.previous
        assert self.champion is None or self.champion != self.previous

    @invariant()
    def the_champion_is_released_and_free(self) -> None:
        """Nothing else ever serves."""
        if self.champion:
            tags = self.fake_registry.tags(self.champion)
            assert tags["slipway.status"] == "released"
            assert "slipway.quarantined" not in tags

    @invariant()
    def the_history_leads_to_the_champion(self) -> None:
        """Its last reign is the one that lasts."""
        reigns = self.fake_registry.registry.history(self.fake_registry.model)
        assert (reigns[-1].version if reigns else None) == self.champion
        assert not reigns or reigns[-1].until is None

    @invariant()
    def what_waits_is_known(self) -> None:
        """One candidate at most."""
        assert self.fake_registry.registry.waiting(self.fake_registry.model) == self.waiting

    def _release(self, target: PromotionTarget) -> int:
        key = f"key-{len(self.keys)}"
        version = self.fake_registry.release(key, target).versions.onnx.version
        self.keys[version] = key
        return version

    def _may_serve(self, version: int | None) -> bool:
        return version in self.approved and version not in self.quarantined

    def _serve(self, version: int) -> None:
        if version != self.champion:
            self.previous, self.champion = self.champion, version
        self.approved.add(version)
        self.quarantined = [each for each in self.quarantined if each != version]

    def _roll_back(self, to: int | None, target: int | None) -> None:
        failed, model = self.champion, self.fake_registry.model
        if failed and target and target != failed and self._may_serve(target):
            self.fake_registry.registry.roll_back(model, to, ANN)
            self._serve(target)
            self.quarantined.append(failed)
            return
        with pytest.raises(MoveRefused):
            self.fake_registry.registry.roll_back(model, to, ANN)


@pytest.mark.slow
def test_promises_hold_after_every_step(registry: Registry, tmp_path: Path) -> None:
    """The champion is released and free, never the previous one, and the history leads to it."""
    cheap = settings(
        max_examples=10,
        stateful_step_count=10,
        deadline=None,
        phases=[Phase.generate],
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )

    run_state_machine_as_test(lambda: HubProject(registry, tmp_path), settings=cheap)
