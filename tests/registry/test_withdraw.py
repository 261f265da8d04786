"""A candidate leaves the registry; what serves, has served, or bears a name does not."""

import pytest
from shelf import Shelf

from slipway.errors import MoveRefused
from slipway.values import Keep

SLOW = Keep(reasons=("too slow",))


def test_a_candidate_that_may_not_serve_leaves_both_models(shelf: Shelf) -> None:
    """A second time nothing is left to do: the step is tried again where a server was away."""
    candidate = shelf.register("one")
    shelf.registry.client.delete_model_version(shelf.model, "1")

    shelf.registry.withdraw(candidate, SLOW)
    shelf.registry.withdraw(candidate, SLOW)

    assert shelf.registry.client.search_model_versions(f"name LIKE '{shelf.model}%'") == []


def test_what_was_released_stays(shelf: Shelf) -> None:
    """Champion, the one before it, and one that no alias names: another run judged it differently.

    Neither its versions nor what its run says of it change.
    """
    releases = [shelf.release(key) for key in ("one", "two", "three")]
    assert shelf.aliases()[0] == {"candidate": 3, "champion": 3, "previous": 2}

    for release in releases:
        version = release.candidate.onnx.version
        with pytest.raises(MoveRefused, match=f"version {version} .* is not deleted; .*rollback"):
            shelf.registry.withdraw(release.candidate, SLOW)
        run = shelf.registry.client.get_run(release.candidate.run_id)
        assert run.data.tags["slipway.verdict"] == "promote"
        assert "slipway.key" in shelf.tags(version)


def test_what_an_alias_names_stays(shelf: Shelf) -> None:
    """A hand gave it a name in one of both models; nothing is deleted, in either."""
    candidate = shelf.register("one")
    name = candidate.transformers.name
    shelf.registry.client.set_registered_model_alias(name, "champion", "1")

    with pytest.raises(MoveRefused, match=f"version 1 of {name} has the alias 'champion'"):
        shelf.registry.withdraw(candidate, SLOW)

    assert "slipway.key" in shelf.tags(1)
    assert shelf.registry.champion(name) == 1
