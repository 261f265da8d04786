"""A candidate leaves the registry; what serves, has served, or bears a name does not."""

import pytest

from slipway.errors import MoveRefused
from slipway.values import Rejected
from tests.support.fake_registry import FakeRegistry

SLOW = Rejected(reasons=("too slow",))


def test_a_candidate_that_may_not_serve_leaves_both_models(fake_registry: FakeRegistry) -> None:
    """A second time nothing is left to do: the step is tried again where a server was away."""
    candidate = fake_registry.register("one")
    fake_registry.registry.client.delete_model_version(fake_registry.model, "1")

    fake_registry.registry.withdraw(candidate, SLOW)
    fake_registry.registry.withdraw(candidate, SLOW)

    assert (
        fake_registry.registry.client.search_model_versions(f"name LIKE '{fake_registry.model}%'")
        == []
    )


def test_what_was_released_stays(fake_registry: FakeRegistry) -> None:
    """Champion, the one before it, and one that no alias names: another run judged it differently.

    Neither its versions nor what its run says of it change.
    """
    releases = [fake_registry.release(key) for key in ("one", "two", "three")]
    assert fake_registry.aliases()[0] == {"candidate": 3, "champion": 3, "previous": 2}

    for release in releases:
        version = release.versions.onnx.version
        with pytest.raises(MoveRefused, match=f"version {version} .* is not deleted; .*rollback"):
            fake_registry.registry.withdraw(release.versions, SLOW)
        run = fake_registry.registry.client.get_run(release.versions.run_id)
        assert run.data.tags["slipway.verdict"] == "promoted"
        assert "slipway.key" in fake_registry.tags(version)


def test_what_an_alias_names_stays(fake_registry: FakeRegistry) -> None:
    """A hand gave it a name in one of both models; nothing is deleted, in either."""
    candidate = fake_registry.register("one")
    name = candidate.transformers.name
    fake_registry.registry.client.set_registered_model_alias(name, "champion", "1")

    with pytest.raises(MoveRefused, match=f"version 1 of {name} has the alias 'champion'"):
        fake_registry.registry.withdraw(candidate, SLOW)

    assert "slipway.key" in fake_registry.tags(1)
    assert fake_registry.registry.champion(name) == 1
