"""Candidates enter the registry, found by their key or created, and leave it when rejected."""

from collections.abc import Mapping

from slipway.errors import MoveRefused
from slipway.registry.lookup import Lookup, registered_name
from slipway.tracking.location import connect
from slipway.tracking.log_models import Logged
from slipway.tracking.tag_values import Outcome
from slipway.tracking.tags import CURRENT_FORMAT, FORMAT, KEY, MLMODEL
from slipway.values import Entry, LoggedWrapper, RegisteredVersions, Verdict, WrapperKind

_ROLES = {"onnx": "the wrapper that serves", "transformers": "the reference, in transformers"}


class Registration(Lookup):
    """Registers both wrappers of a release, once a key."""

    def register(
        self, entry: Entry, key: str, logged: Logged, tags: Mapping[str, str]
    ) -> RegisteredVersions:
        """Return both wrappers as registered versions, found by ``key`` or created.

        Args:
            entry: Names the registered models and the wrappers' contracts.
            key: The release key.
            logged: What was logged for it.
            tags: Put on both versions.
        """
        connect(self.location)  # MLflow looks for the logged model where its client last pointed
        with self._locked(entry.name):
            tags = {KEY: key, FORMAT: CURRENT_FORMAT, **tags}
            return RegisteredVersions(
                model=entry.name,
                key=key,
                run_id=logged.run_id,
                onnx=self._register("onnx", entry, logged, tags),
                transformers=self._register("transformers", entry, logged, tags),
            )

    def withdraw(self, versions: RegisteredVersions, verdict: Verdict) -> None:
        """Delete the versions of a candidate that may not serve.

        Its logged models and its run stay, with the verdict, so that people can look into it.

        Raises:
            MoveRefused: If it was released, or an alias names it; nothing is deleted.
        """
        with self._locked(versions.model):
            found = [each for each in versions.wrappers if self._may_leave(versions.model, each)]
            self._set_outcome(versions, verdict)
            for wrapper in found:
                self.client.delete_model_version(wrapper.name, str(wrapper.version))

    def _may_leave(self, model: str, wrapper: LoggedWrapper) -> bool:
        """Return whether a version exists; refuse if it has to stay."""
        state = self.state(wrapper.name, wrapper.version)
        aliases = self.aliases(wrapper.name).items()
        named = [alias for alias, version in aliases if version == wrapper.version]
        if named or (state and state.released):
            reason = f"has the alias {named[0]!r}" if named else "is released"
            what = f"version {wrapper.version} of {wrapper.name} {reason}, so it is not deleted"
            raise MoveRefused(model, what, f"if it serves badly: slipway rollback {model}")
        return state is not None

    def _register(
        self, kind: WrapperKind, entry: Entry, logged: Logged, tags: dict[str, str]
    ) -> LoggedWrapper:
        name = registered_name(entry.name, kind)
        self._ensure_model(name, entry.title, kind)
        if not self._versions(name, tags[KEY]):
            model_id = logged.model_ids[kind]
            tags = tags | {MLMODEL: logged.descriptions[kind]}
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

    def _ensure_model(self, name: str, title: str, kind: WrapperKind) -> None:
        from mlflow.exceptions import MlflowException

        text = f"**{title}**, {_ROLES[kind]}. `champion` serves; `previous` is what rollback "
        try:
            self.client.create_registered_model(name, description=f"{text}returns to.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _set_outcome(self, versions: RegisteredVersions, verdict: Verdict) -> None:
        """Write the verdict on the run of a release."""
        from mlflow.entities import RunTag

        tags = [RunTag(name, value) for name, value in Outcome.of(verdict).to_tags().items()]
        self.client.log_batch(versions.run_id, tags=tags)
        self.client.set_terminated(versions.run_id, "FINISHED")
