"""Releases whose process was killed before both models were registered: nothing of them stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from slipway.registry.lookup import Lookup, model_id
from slipway.registry.transitions import after, state_in
from slipway.system.failpoints import failpoint
from slipway.tracking import heartbeat
from slipway.tracking.lease import remove_models
from slipway.tracking.location import if_any
from slipway.tracking.tag_values import Outcome
from slipway.tracking.tags import ENDED, HEARTBEAT, KEY, LEASE, LOCK
from slipway.values import Verdict

#: What a release that may have been killed has: a status, and a tag.
_BEGUN = (("RUNNING", HEARTBEAT), ("FINISHED", LEASE), ("FAILED", LEASE))


class DeadReleases(Lookup):
    """Removes what killed releases have logged."""

    def _release_lock(self, key: str) -> FileLock:
        """Return the lock that a release holds from its first run to its last version."""
        self.locks.mkdir(parents=True, exist_ok=True)
        return FileLock(self.locks / f"release-{Path(key).name}.lock")  # a tag may hold anything

    def _end_dead_releases(self, model: str, held: str | None = None) -> Iterator[str]:
        """End their runs, and delete the models that no version serves.

        Args:
            model: Name of the entry.
            held: Key of the release whose lock this process holds.

        Returns:
            A sentence for each.
        """
        begun = [run for state in _BEGUN for run in self._search(model, *state)]
        here = self._lock_identity()
        ours = [run for run in begun if run.data.tags.get(LOCK) == here]
        others = [run for run in begun if run.data.tags.get(LOCK) != here]
        abandoned = [run for run in ours if self._is_free(run.data.tags.get(KEY, ""), held)]
        for run in abandoned + heartbeat.dead(self.client, others):
            yield from self._end_release(run)

    def _is_free(self, key: str, held: str | None) -> bool:
        """Return whether no other process holds the lock of the release with this key."""
        if key == held:
            return True
        try:
            with self._release_lock(key).acquire(blocking=False):
                return True
        except Timeout:
            return False

    def _end_release(self, run: Any) -> Iterator[str]:
        run_id, lease = str(run.info.run_id), run.data.tags.get(LEASE)
        versions = self._whole(run_id)
        if lease:
            kept = {model_id(version) for version in versions}
            remove_models(self.client, run.info.experiment_id, lease, keep=kept)
        self._give_back(run_id)  # before its end: nobody looks for the lease of an ended run
        if not versions and run.info.status != "FAILED":
            yield self._end(run, "KILLED", "its process was killed before both models were logged")

    def _whole(self, run_id: str) -> list[Any]:
        """Return the versions of a run; half of a registration is deleted instead."""
        found = list(self.client.search_model_versions(f"run_id = '{run_id}'"))
        if len(found) != 1 or self._use_of(found[0].name, int(found[0].version)):
            return found
        if_any(lambda: self.client.delete_model_version(found[0].name, found[0].version))
        return []

    def _use_of(self, name: str, version: int) -> str | None:
        """Return why a version may not leave the registry; None if it may."""
        found = self.aliases(name).items()
        if named := [alias for alias, number in found if number == version]:
            return f"has the alias {named[0]!r}"
        state = state_in(self.state(name, version))
        return None if after("withdraw", state) else f"is {state}"

    def _active_run(self, run_id: str) -> Any:
        """Return a run; None if somebody has deleted it."""
        run = if_any(lambda: self.client.get_run(run_id))
        return run if run and run.info.lifecycle_stage == "active" else None

    def _set_outcome(self, run: Any, verdict: Verdict) -> None:
        """Write how a release ended on its run."""
        from mlflow.entities import RunTag

        tags = [RunTag(name, value) for name, value in Outcome.of(verdict).to_tags().items()]
        self.client.log_batch(run.info.run_id, tags=tags)
        failpoint("promote.after-verdict")
        if run.info.status == "RUNNING":
            self.client.set_terminated(run.info.run_id, "FINISHED")

    def _give_back(self, run_id: str) -> None:
        """Record that nobody writes a run any more."""
        if_any(lambda: self.client.delete_tag(run_id, LEASE))

    def _end(self, run: Any, status: str, reason: str) -> str:
        run_id = str(run.info.run_id)
        self.client.set_tag(run_id, ENDED, reason)
        self.client.set_terminated(run_id, status)
        return f"run {run_id} was ended as {status}: {reason}"

    def _search(self, experiment: str, status: str, tag: str) -> Iterator[Any]:
        """Yield the runs of an experiment with this status that have ``tag``, newest first."""
        filters = f"attributes.status = '{status}'"
        if tag == LEASE:  # few runs have one
            filters += f" AND tags.`{tag}` != ''"
        yield from (run for run in self._newest_runs(experiment, filters) if run.data.tags.get(tag))
