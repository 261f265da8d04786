"""Candidates come into the registry, found by their key or created; and leave it again."""

from slipway.errors import MoveRefused
from slipway.registry.lookup import Lookup
from slipway.registry.names import registered_name
from slipway.tracking.location import connect
from slipway.tracking.log_models import Logged
from slipway.tracking.tags import KEY, MLMODEL, STATUS
from slipway.values import Entry, LoggedWrapper, RegisteredVersions, Verdict, WrapperKind


class Registration(Lookup):
    """Registers both wrappers of a release, once a key."""

    def register(
        self, entry: Entry, key: str, logged: Logged, tags: dict[str, str]
    ) -> RegisteredVersions:
        """Return both wrappers as registered versions, found by ``key`` or created.

        Args:
            entry: The catalogue's entry.
            key: The release key.
            logged: What was logged for it.
            tags: Put on both versions.
        """
        connect(self.place)  # MLflow looks for the logged model where its client last pointed
        with self._alone(entry.name):
            tags = {KEY: key, **tags}
            return RegisteredVersions(
                model=entry.name,
                key=key,
                run_id=logged.run_id,
                onnx=self._register("onnx", entry, logged, tags),
                transformers=self._register("transformers", entry, logged, tags),
            )

    def withdraw(self, candidate: RegisteredVersions, verdict: Verdict) -> None:
        """Take a candidate that may not serve out of the registry.

        Its logged models and its run stay, with the verdict, so that it can be looked into.

        Raises:
            MoveRefused: If it was released, or an alias names it; nothing is deleted.
        """
        with self._alone(candidate.model):
            there = [each for each in candidate.wrappers if self._may_leave(candidate.model, each)]
            self._describe_run(candidate, verdict)
            for wrapper in there:
                self.client.delete_model_version(wrapper.name, str(wrapper.version))

    def _may_leave(self, model: str, wrapper: LoggedWrapper) -> bool:
        """Tell whether a version is still there; refuse if it has to stay."""
        tags = self._tags_if_any(wrapper.name, wrapper.version)
        aliases = self.aliases(wrapper.name).items()
        named = [alias for alias, version in aliases if version == wrapper.version]
        reason = f"has the alias {named[0]!r}" if named else "is released"
        if named or (tags or {}).get(STATUS) == "released":
            what = f"version {wrapper.version} of {wrapper.name} {reason}, so it is not deleted"
            raise MoveRefused(model, what, f"if it serves badly: slipway rollback {model}")
        return tags is not None

    def _register(
        self, kind: WrapperKind, entry: Entry, logged: Logged, tags: dict[str, str]
    ) -> LoggedWrapper:
        name = registered_name(entry.name, kind)
        self._ensure_model(name, entry, kind)
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

    def _describe_run(self, candidate: RegisteredVersions, verdict: Verdict) -> None:
        self.client.set_tag(candidate.run_id, "slipway.verdict", verdict.kind)
        self.client.set_tag(candidate.run_id, "slipway.reasons", "; ".join(verdict.reasons)[:5000])
        self.client.set_terminated(candidate.run_id, "FINISHED")
