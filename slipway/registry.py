"""The adapter of MLflow's Model Registry: versions, aliases, and the record of promotions.

The registry has no compare-and-set, and its client repeats a creation whose answer was lost. So a
version is looked up by its release key before and after it is created, under a lock, and aliases
are moved by one promoter at a time, which reads them back.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from slipway.errors import RegistryConflict
from slipway.tracking import KEY, Place, connect, experiment_id
from slipway.values import (
    Candidate,
    Entry,
    LoggedWrapper,
    Promotion,
    Release,
    Verdict,
    WrapperKind,
)
from slipway.wrapping import Logged

STATUS, DETAILS = "slipway.status", "slipway.release"


def registered_name(model: str, kind: WrapperKind) -> str:
    """Return the registered model under which one wrapper of the entry ``model`` stands."""
    return model if kind == "onnx" else f"{model}-{kind}"


class Registry:
    """The model registry at one place.

    Args:
        place: Address of tracking store and registry.
        locks: Folder for the locks that make its changes one at a time.
    """

    def __init__(self, place: Place, locks: Path) -> None:
        connect(place)
        from mlflow import MlflowClient

        self.place = place
        self.locks = locks
        self.client = MlflowClient()

    def released(self, model: str, key: str) -> Release | None:
        """Return the release with this key if an earlier run finished it."""
        for version in self._versions(model, key):
            if version.tags.get(STATUS) == "released":
                release = Release.model_validate_json(version.tags[DETAILS])
                return release.model_copy(update={"existed": True})
        return None

    def champion(self, name: str) -> int | None:
        """Return the version that serves under the registered model ``name``."""
        return self.aliases(name).get("champion")

    def aliases(self, name: str) -> dict[str, int]:
        """Return every alias of the registered model ``name``; none if there is no such model."""
        from mlflow.exceptions import MlflowException

        try:
            model = self.client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}
        return {alias: int(version) for alias, version in model.aliases.items()}

    def tags(self, name: str, version: int) -> dict[str, str]:
        """Return the tags of one version."""
        return dict(self.client.get_model_version(name, str(version)).tags)

    def register(self, entry: Entry, key: str, logged: Logged, tags: dict[str, str]) -> Candidate:
        """Return both wrappers as registered versions, found by ``key`` or created.

        Args:
            entry: The catalogue's entry.
            key: The release key.
            logged: What was logged for it.
            tags: Put on both versions.
        """
        with self._alone(entry.name):
            tags = {KEY: key, **tags}
            return Candidate(
                model=entry.name,
                key=key,
                run_id=logged.run_id,
                onnx=self._register("onnx", entry, logged, tags),
                transformers=self._register("transformers", entry, logged, tags),
            )

    def withdraw(self, candidate: Candidate, verdict: Verdict) -> None:
        """Take a candidate that may not serve out of the registry.

        Its logged models and its run stay, with the verdict, so that it can be looked into.
        """
        self._describe_run(candidate, verdict)
        with self._alone(candidate.model):
            for wrapper in candidate.wrappers:
                self.client.delete_model_version(wrapper.name, str(wrapper.version))

    def promote(
        self, candidate: Candidate, release: Release, aliases: str, description: str
    ) -> Release:
        """Return ``release`` with the promotion that was made: both models' aliases, or neither.

        Args:
            candidate: What may serve.
            release: What is recorded on its versions.
            aliases: ``champion``, or ``candidate`` to stop there.
            description: Markdown for the version's page.

        Raises:
            RegistryConflict: If the aliases could not be moved; they are as they were.
        """
        with self._alone(candidate.model):
            before = {wrapper.name: self.aliases(wrapper.name) for wrapper in candidate.wrappers}
            run_id = self._open_record(candidate, before)
            moves = {wrapper: _moves(wrapper, before, aliases) for wrapper in candidate.wrappers}
            with self._restoring(candidate, before, run_id):
                for wrapper, targets in moves.items():
                    for alias, version in targets.items():
                        self.client.set_registered_model_alias(wrapper.name, alias, str(version))
                self._read_back(moves)
            promotion = Promotion(
                run_id=run_id,
                at=datetime.now(UTC),
                aliases=tuple(moves[candidate.onnx]),
                previous=self.aliases(candidate.onnx.name).get("previous"),
            )
            done = release.model_copy(update={"promotion": promotion})
            self._record(done, description)
        return done

    def _versions(self, name: str, key: str) -> list[Any]:
        found = self.client.search_model_versions(f"name = '{name}' AND tags.`{KEY}` = '{key}'")
        return sorted(found, key=lambda version: int(version.version))

    def _register(
        self, kind: WrapperKind, entry: Entry, logged: Logged, tags: dict[str, str]
    ) -> LoggedWrapper:
        name = registered_name(entry.name, kind)
        self._ensure_model(name, entry, kind)
        if not self._versions(name, tags[KEY]):
            model_id = logged.model_ids[kind]
            self.client.create_model_version(
                name, f"models:/{model_id}", run_id=logged.run_id, tags=tags, model_id=model_id
            )
        first, *doubles = self._versions(name, tags[KEY])
        for double in doubles:  # the answer to a creation was lost, and the client asked again
            self.client.delete_model_version(name, double.version)
        return LoggedWrapper(
            kind=kind,
            contract=entry.wrappers.onnx if kind == "onnx" else entry.wrappers.transformers,
            model_id=logged.model_ids[kind],
            name=name,
            version=int(first.version),
            size_bytes=logged.size_bytes[kind],
        )

    def _ensure_model(self, name: str, entry: Entry, kind: WrapperKind) -> None:
        from mlflow.exceptions import MlflowException

        role = "the wrapper that serves" if kind == "onnx" else "the reference, in transformers"
        text = (
            f"**{entry.title}**, {role}. `champion` serves; `previous` is what rollback returns to."
        )
        try:
            self.client.create_registered_model(name, description=text)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _open_record(self, candidate: Candidate, before: dict[str, dict[str, int]]) -> str:
        experiment = experiment_id(f"{candidate.model}/promotions", self.place)
        run = self.client.create_run(
            experiment,
            run_name=f"{candidate.model} v{candidate.onnx.version}",
            tags={
                KEY: candidate.key,
                "slipway.release_run": candidate.run_id,
                "slipway.version": str(candidate.onnx.version),
                "slipway.champion_before": str(before[candidate.onnx.name].get("champion", "none")),
                "slipway.aliases_before": json.dumps(before),
            },
        )
        return str(run.info.run_id)

    @contextmanager
    def _restoring(
        self, candidate: Candidate, before: dict[str, dict[str, int]], run_id: str
    ) -> Iterator[None]:
        """Put every alias back if the body fails."""
        try:
            yield
        except Exception as error:
            for name, aliases in before.items():
                for alias in self.aliases(name).keys() - aliases.keys():
                    self.client.delete_registered_model_alias(name, alias)
                for alias, version in aliases.items():
                    self.client.set_registered_model_alias(name, alias, str(version))
            self.client.set_terminated(run_id, "FAILED")
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise RegistryConflict(candidate.model, reason) from error

    def _read_back(self, moves: dict[LoggedWrapper, dict[str, int]]) -> None:
        for wrapper, targets in moves.items():
            seen = self.aliases(wrapper.name)
            for alias, version in targets.items():
                if seen.get(alias) != version:
                    raise LookupError(f"{wrapper.name}@{alias} is {seen.get(alias)}, not {version}")

    def _record(self, release: Release, description: str) -> None:
        for wrapper in release.candidate.wrappers:
            name, version = wrapper.name, str(wrapper.version)
            self.client.update_model_version(name, version, description)
            self.client.set_model_version_tag(name, version, DETAILS, release.model_dump_json())
            self.client.set_model_version_tag(name, version, STATUS, "released")
        self._describe_run(release.candidate, release.verdict)
        if release.promotion:
            self.client.set_tag(release.promotion.run_id, "mlflow.note.content", description)
            self.client.set_terminated(release.promotion.run_id, "FINISHED")

    def _describe_run(self, candidate: Candidate, verdict: Verdict) -> None:
        self.client.set_tag(candidate.run_id, "slipway.verdict", verdict.kind)
        self.client.set_tag(candidate.run_id, "slipway.reasons", "; ".join(verdict.reasons)[:5000])
        self.client.set_terminated(candidate.run_id, "FINISHED")

    @contextmanager
    def _alone(self, model: str) -> Iterator[None]:
        self.locks.mkdir(parents=True, exist_ok=True)
        with FileLock(self.locks / f"registry-{model}.lock"):
            yield


def _moves(
    wrapper: LoggedWrapper, before: dict[str, dict[str, int]], aliases: str
) -> dict[str, int]:
    """Return the aliases that a promotion sets, in the order in which it sets them."""
    moves = {"candidate": wrapper.version}
    if aliases == "champion":
        champion = before[wrapper.name].get("champion")
        if champion is not None and champion != wrapper.version:
            moves["previous"] = champion
        moves["champion"] = wrapper.version
    return moves
