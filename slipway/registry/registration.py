"""Candidates enter the registry, found by their key or created, and leave it when rejected."""

from collections.abc import Callable
from typing import Any, TypeVar

from slipway.errors import ArtifactChanged, MoveRefused, VersionRefused
from slipway.registry.dead_releases import DeadReleases
from slipway.registry.lookup import model_id
from slipway.system.failpoints import failpoint
from slipway.tracking import heartbeat
from slipway.tracking.lease import remove_models
from slipway.tracking.location import connect, experiment_id, if_any
from slipway.tracking.log_models import Logged, Registrable
from slipway.tracking.tags import CURRENT_FORMAT, DIGEST, FORMAT, KEY, LEASE, MLMODEL, SIGNATURE
from slipway.tracking.verified_copy import CopyRequest, fetch
from slipway.values import (
    WRAPPER_KINDS,
    LoggedWrapper,
    RegisteredVersions,
    WrapperKind,
    registered_name,
)

Request = TypeVar("Request", bound=Registrable)
_ROLES = {"onnx": "the wrapper that serves", "transformers": "the reference, in transformers"}


class Registration(DeadReleases):
    """Registers both wrappers of a release, once a key."""

    def register_once(
        self, request: Request, log: Callable[[Request], Logged]
    ) -> RegisteredVersions:
        """Return both wrappers as registered versions, calling ``log`` only if one is missing.

        Another process of this home that is about to log the same is waited for. What one that was
        killed had logged is deleted.

        Raises:
            MoveRefused: If a version with the key of ``request`` is not what it would log.
        """
        with self._release_lock(request.key):
            if found := self.registered(request):
                return found
            tuple(self._end_dead_releases(request.model, held=request.key))
            self._remove_halves(request)
            leased = request.model_copy(update={"lease": self._lease()})
            logged = log(leased)
            with heartbeat.beating(self.client, logged.run_id):
                return self.register(leased, logged)

    def registered(self, request: Registrable) -> RegisteredVersions | None:
        """Return both wrappers as an earlier run registered them; None if one is missing.

        Raises:
            MoveRefused: If the files of a version are not what ``request`` would log.
        """
        connect(self.location)
        found = [self._versions(_name(request, kind), request.key)[:1] for kind in WRAPPER_KINDS]
        if not all(found):
            return None
        versions = dict(zip(WRAPPER_KINDS, (version for (version,) in found), strict=True))
        for kind, version in versions.items():
            self._require_ours(kind, version, request)
        return _registered(versions, request)

    def register(self, request: Registrable, logged: Logged) -> RegisteredVersions:
        """Return both wrappers as registered versions, found by their key or created.

        Raises:
            MoveRefused: If the files of a version that was found are not what was logged.
        """
        connect(self.location)  # MLflow looks for the logged model where its client last pointed
        with self._locked(request.model):
            versions = {kind: self._register(kind, request, logged) for kind in WRAPPER_KINDS}
        failpoint("register.after-versions")
        for kind, version in versions.items():
            if model_id(version) != logged.model_ids[kind]:
                self._require_ours(kind, version, request)
        experiment = experiment_id(self.client, request.model, self.location)
        remove_models(
            self.client, experiment, request.lease.id, keep=map(model_id, versions.values())
        )
        self._give_back(logged.run_id)
        return _registered(versions, request)

    def _remove_halves(self, request: Registrable) -> None:
        """Delete a version that a killed release left alone, after the end of its run.

        What would be registered beside it is of another run.
        """
        for kind in WRAPPER_KINDS:
            for version in self._versions(_name(request, kind), request.key):
                run = if_any(lambda: self.client.get_run(version.run_id))  # noqa: B023 - called at once
                if run is None or LEASE not in run.data.tags:
                    self._whole(version.run_id)

    def _may_leave(self, model: str, wrapper: LoggedWrapper) -> bool:
        """Return whether a version exists.

        Raises:
            MoveRefused: If it has to stay.
        """
        if reason := self._use_of(wrapper.name, wrapper.version):
            what = f"version {wrapper.version} of {wrapper.name} {reason}, so it is not deleted"
            raise MoveRefused(model, what, f"if it serves badly: slipway rollback {model}")
        return self.state(wrapper.name, wrapper.version) is not None

    def _register(self, kind: WrapperKind, request: Registrable, logged: Logged) -> Any:
        name = _name(request, kind)
        failpoint("register.before-model")
        self._ensure_model(name, request.title, kind)
        failpoint("register.after-model")
        if not self._versions(name, request.key):
            source = logged.model_ids[kind]
            tags = {
                KEY: request.key,
                FORMAT: CURRENT_FORMAT,
                DIGEST: logged.digests[kind],
                MLMODEL: logged.descriptions[kind],
            }
            if kind in logged.signatures:
                tags[SIGNATURE] = logged.signatures[kind]
            self.client.create_model_version(
                name,
                f"models:/{source}",
                run_id=logged.run_id,
                tags=request.tags | tags,
                model_id=source,
            )
            failpoint("register.after-version")
        first, *doubles = self._versions(name, request.key)
        for double in doubles:  # of a lost answer that was asked for again, or another machine's
            if self._use_of(name, int(double.version)) is None:
                if_any(lambda: self.client.delete_model_version(name, double.version))  # noqa: B023
        return first

    def _require_ours(self, kind: WrapperKind, version: Any, request: Registrable) -> None:
        """Compare what a version that was found by its key serves with what would be logged."""
        copy = CopyRequest(
            place=self.copies,
            name=version.name,
            version=int(version.version),
            kind=kind,
            decided=False,
        )
        try:
            different = request.difference(fetch(copy).folder, kind)
        except (ArtifactChanged, VersionRefused) as error:
            different = error.reason
        if different:
            what = f"version {version.version} of {version.name} has the key of this release"
            reason = f"{what}, but is not what it would log ({different})"
            advice = "find out who registered it, delete it, and release the model again"
            raise MoveRefused(request.model, reason, advice)

    def _ensure_model(self, name: str, title: str, kind: WrapperKind) -> None:
        from mlflow.exceptions import MlflowException

        text = f"**{title}**, {_ROLES[kind]}. `champion` serves; `previous` is what rollback "
        try:
            self.client.create_registered_model(name, description=f"{text}returns to.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _registered(versions: dict[WrapperKind, Any], request: Registrable) -> RegisteredVersions:
    """Return what was found or created; every id is the version's own."""
    return RegisteredVersions(
        model=request.model,
        key=request.key,
        run_id=versions["onnx"].run_id,
        onnx=_wrapper("onnx", versions["onnx"], request),
        transformers=_wrapper("transformers", versions["transformers"], request),
    )


def _wrapper(kind: WrapperKind, version: Any, request: Registrable) -> LoggedWrapper:
    return LoggedWrapper(
        kind=kind,
        contract=request.contract if kind == "onnx" else "chat",
        model_id=model_id(version),
        name=version.name,
        version=int(version.version),
        size_bytes=request.size_bytes(kind),
    )


def _name(request: Registrable, kind: WrapperKind) -> str:
    return registered_name(request.model, kind)
