"""How earlier releases of a model ended, as their runs and their versions say."""

from datetime import UTC, datetime
from typing import Any

from slipway.registry.lookup import Lookup, state_of
from slipway.tracking.tag_values import Outcome
from slipway.tracking.tags import KEY, VERDICT
from slipway.values import (
    EarlierRejection,
    LastRelease,
    Rejected,
    registered_names,
)


class EarlierReleases(Lookup):
    """Reads how releases ended."""

    def earlier_rejection(self, model: str, key: str) -> EarlierRejection | None:
        """Return why an earlier candidate with this key was rejected, by a gate or by a person.

        A rejection holds until the key changes, since the same release would end the same, or until
        a later try ends otherwise. One that was killed before it had removed its versions does
        not hold: the next try removes them.
        """
        if existing := self.released(model, key):
            if not isinstance(existing.verdict, Rejected):
                return None
            run_id, reasons = existing.versions.run_id, existing.verdict.reasons
            return EarlierRejection(run_id=run_id, kind="rejected", reasons=reasons)
        if self._is_unfinished(model, key):
            return None
        run = self._last_decided(model, f"tags.`{KEY}` = '{key}'")
        found = Outcome.from_tags(run.data.tags) if run else None
        if found is None or found.verdict == "promoted":
            return None
        reasons = tuple((found.reasons or "no reason was recorded").split("; "))
        fields = {"run_id": run.info.run_id, "kind": found.verdict, "reasons": reasons}
        return EarlierRejection.model_validate(fields)

    def _is_unfinished(self, model: str, key: str) -> bool:
        """Return whether a version with this key is registered and nothing more."""
        names = registered_names(model)
        found = (version for name in names for version in self._versions(name, key))
        return any(state_of(version).state == "registered" for version in found)

    def last_release(self, model: str) -> LastRelease | None:
        """Return how the last release of ``model`` ended; None if none was decided."""
        run = self._last_decided(model)
        if run is None:
            return None
        outcome = Outcome.from_tags(run.data.tags)
        reason = self._obstacle(model, run.data.tags[KEY], outcome.verdict) or outcome.reasons
        return LastRelease(
            at=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
            verdict=outcome.verdict or "",
            reason=reason,
            run_id=run.info.run_id,
        )

    def _last_decided(self, model: str, filters: str = "") -> Any:
        """Return the last run of a release of ``model`` that has a verdict; None without any.

        Args:
            model: Name of the entry.
            filters: Which runs, as MLflow's filters have it.
        """
        runs = (run for run in self._newest_runs(model, filters) if KEY in run.data.tags)
        return next((run for run in runs if run.data.tags.get(VERDICT)), None)

    def _obstacle(self, model: str, key: str, verdict: str | None) -> str | None:
        """Return what keeps the version with this key from being champion; None if nothing does."""
        versions = self._versions(model, key)
        if verdict == "promoted" and not versions:
            return "its version was deleted from the registry since"
        for version in versions:
            if obstacle := state_of(version).obstacle:
                return f"version {version.version} {obstacle}"
        return None
