"""A champion that is promoted to another registry, and what both histories say of it."""

from slipway.errors import MoveRefused, NoChampion
from slipway.registry.history import History
from slipway.system.failpoints import failpoint
from slipway.tracking.tags import PROMOTED_TO
from slipway.values import ChampionPeriod, Release


class OtherRegistries(History):
    """Knows what may leave this registry, and records what did."""

    def leaving(self, model: str) -> tuple[Release, ChampionPeriod]:
        """Return the release that is champion, and since when.

        Raises:
            NoChampion: If there is none.
            MoveRefused: If it was not released here, or may not serve, or if somebody deleted its
                reference.
            RegistryConflict: If another machine is changing the aliases.
        """
        with self.consistent_read(model):
            version = self.champion(model)
            if version is None:
                raise NoChampion(model)
            state = self.state(model, version)
            if state is None or state.release is None or state.obstacle:
                obstacle = (state and state.obstacle) or "was not released by Slipway"
                advice = f"slipway status {model} shows what is there"
                raise MoveRefused(model, f"version {version} {obstacle}", advice)
            wrappers = state.release.versions.wrappers
            self._require_there(model, [(each.name, each.version) for each in wrappers])
            return state.release, self.history(model)[-1]

    def record_promoted(self, release: Release, environment: str, version: int) -> None:
        """Record on both versions of a release which version it is in another environment."""
        failpoint("promoted.before-tags")
        for wrapper in release.versions.wrappers:
            tag = f"{PROMOTED_TO}.{environment}"
            self._set_tag(wrapper.name, wrapper.version, tag, f"v{version}")
        failpoint("promoted.after-tags")
