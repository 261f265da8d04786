"""What the registry knows: versions by key, aliases, tags."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from slipway import keys
from slipway.checks import prompt_files, structured_files, suites
from slipway.errors import ArtifactChanged, MoveRefused, RoleMissing, UserRefused, VersionRefused
from slipway.evaluation import task_evaluation
from slipway.evaluation.texts import load_calibration, load_texts, texts_digest
from slipway.libraries import toolchain
from slipway.registry.transitions import how_to_lift
from slipway.settings import Settings
from slipway.system.store import sha256
from slipway.tracking import format_1, known_wrappers, shared_lock
from slipway.tracking.accounts import Accounts, Person
from slipway.tracking.lease import Lease, lock_identity
from slipway.tracking.location import connect, if_any, if_any_of, require_active
from slipway.tracking.metrics import figures_of
from slipway.tracking.shared_lock import SharedLock
from slipway.tracking.tag_values import VersionTags
from slipway.tracking.tags import KEY
from slipway.tracking.verified_copy import CopyPlace, CopyRequest, verify
from slipway.values import (
    Champion,
    Contract,
    Entry,
    LoggedWrapper,
    Rejected,
    Release,
    Revision,
    WrapperKind,
    registered_name,
)

#: Runs that one request reads.
_FIRST_PAGES, _LARGEST_PAGE = (10, 30, 100), 1000
#: What MLflow's own server says of an alias that no version has.
_NO_SUCH_ALIAS = "INVALID_PARAMETER_VALUE"


def experiments_of(model: str) -> tuple[str, str, str]:
    """Return the experiments of an entry: its releases, and the records of its alias changes."""
    return model, f"{model}/candidates", f"{model}/promotions"


def release_key(entry: Entry, revision: Revision, settings: Settings) -> str:
    """Return the key of a release: what is made, of what, with what, and how it is tested."""
    suites.require_checkable(entry, settings.expectations)
    return keys.release_key(entry, revision, toolchain(), tested_with(entry, settings))


def tested_with(entry: Entry, settings: Settings) -> dict[str, str]:
    """Return the digests of what a release ships or is asked: wrapper, prompts, texts, suites."""
    expectations, contracts = settings.expectations, entry.wrappers
    calibration = load_calibration(entry.recipe, expectations)
    return {
        "wrapper": sha256(settings.wrappers / known_wrappers.FILE),
        "prompts": prompt_files.prompts_digest(entry, expectations),
        "texts": texts_digest(load_texts(expectations / "texts" / entry.texts)),
        "onnx": suites.suite_digest(expectations, contracts.onnx),
        "transformers": suites.suite_digest(expectations, contracts.transformers),
        **({"calibration": calibration.digest} if calibration else {}),
        **structured_files.digests(entry, expectations),
        **task_evaluation.digests(entry, expectations),
    }


def model_id(version: Any) -> str:
    """Return the id of the logged model that a version serves."""
    return str(version.source).removeprefix("models:/")


def state_of(version: Any) -> VersionTags:
    """Return what the tags of a version of the registry say.

    A release that names other versions was copied there; the version counts as not released.
    """
    state = VersionTags.from_tags(version.tags)
    named = state.release.versions.wrappers if state.release else ()
    if (version.name, int(version.version)) in {(each.name, each.version) for each in named}:
        return state
    return state.model_copy(update={"release": None, "released": False})


class Lookup:
    """Reads the model registry at one place.

    Args:
        copies: Address of tracking store and registry, and where versions are copied to.
        locks: Folder for the locks that make its changes one at a time.
    """

    def __init__(self, copies: CopyPlace, locks: Path) -> None:
        self.copies = copies
        self.location = copies.location
        self.locks = locks
        self.client = connect(copies.location)
        self._shared: dict[str, SharedLock] = {}

    @cached_property
    def person(self) -> Person | None:
        """Who this process is signed in as; None where MLflow asks nobody for a name."""
        return Accounts(self.copies.location.uri).signed_in()

    @cached_property
    def has_roles(self) -> bool:
        """Whether anybody has a role; administrators alone have none."""
        role = self.person.role if self.person else None
        if role != "admin":
            return role is not None
        people = Accounts(self.copies.location.uri).people()
        return any(each.role not in {None, "admin"} for each in people)

    def released(self, model: str, key: str) -> Release | None:
        """Return the release with this key if an earlier run finished it.

        Where its version is quarantined or rejected, the verdict says so, and how to lift that.
        """
        for version in self._versions(model, key):
            state = state_of(version)
            if state.released and state.release:
                return self._as_found(state.release, state)
        return None

    def _as_found(self, release: Release, state: VersionTags) -> Release:
        """Return a release that an earlier run recorded, as it stands now."""
        changes: dict[str, Any] = {"existed": True, "waiting": state.waiting}
        if promotion := release.promotion:
            served = release.versions.onnx
            version = self.version(served.name, served.version)
            now = tuple(sorted(version.aliases)) if version else ()
            changes["promotion"] = promotion.model_copy(update={"aliases": now})
        if barred := state.barred:
            reasons = (barred, how_to_lift(release.versions.model))
            changes["verdict"] = Rejected(reasons=reasons)
        return release.model_copy(update=changes)

    def require_experiments(self, model: str) -> None:
        """Refuse a model to whose experiments nothing can be logged.

        MLflow lets whoever makes an experiment write to it. So the experiments that roles are about
        are made by an administrator.

        Raises:
            ExperimentDeleted: If a person deleted one of them.
            RoleMissing: If this process may not write there.
            UserRefused: If one is missing, and this process may not make it.
        """
        role = self.person.role if self.person else None
        if self.person and role == "reader":
            raise RoleMissing(self.person.name, role, f"release {model}", "releaser")
        for name in experiments_of(model):
            if experiment := self.client.get_experiment_by_name(name):
                require_active(experiment)
            elif self.person and role in {"releaser", "promoter"}:
                reason = f"MLflow has no experiment {name!r}, which an administrator makes"
                remedy = (
                    f"wait for reconcile, or ask for `slipway users role {self.person.name} {role}`"
                )
                raise UserRefused(self.person.name, reason, remedy)

    def _newest_runs(self, experiment: str, filters: str) -> Iterator[Any]:
        """Yield the runs of an experiment that fit, newest first; none if there is no experiment.

        The first pages are small: most readers want the newest runs alone. MLflow sorts all runs
        that fit a condition on a tag, so ask for one only where few fit.
        """
        found = self.client.get_experiment_by_name(experiment)
        token: str | None = "" if found else None
        sizes = chain(_FIRST_PAGES, repeat(_LARGEST_PAGE))
        while token is not None:
            page = self.client.search_runs(
                [found.experiment_id], filters, max_results=next(sizes), page_token=token
            )
            yield from page
            token = page.token

    def champion(self, name: str) -> int | None:
        """Return the version that ``champion`` names in the registered model ``name``."""
        version = self.named(name, "champion")
        return int(version.version) if version else None

    def named(self, name: str, alias: str) -> Any:
        """Return the version that an alias of a registered model names; None if there is none.

        To list the aliases of a model, MLflow reads all of its versions; here it reads one.
        """
        from mlflow.exceptions import MlflowException

        try:
            read = partial(self.client.get_model_version_by_alias, name, alias)
            return if_any_of(self.client, name, read)
        except MlflowException as error:
            if error.error_code != _NO_SUCH_ALIAS:
                raise
            return None

    def version(self, name: str, version: int) -> Any:
        """Return one version of a registered model; None if there is none."""
        read = partial(self.client.get_model_version, name, str(version))
        return if_any_of(self.client, name, read)

    def measured_champion(self, name: str, contract: Contract) -> Champion | None:
        """Return the champion of ``name``, with its wrapper and what was measured of it.

        Args:
            name: The registered model that serves.
            contract: Assumed of a version without a recorded release, as of one that somebody
                promoted by hand.
        """
        version = self.champion(name)
        if version is None:
            return None
        found = self.client.get_model_version(name, str(version))
        wrapper = LoggedWrapper(
            kind="onnx", contract=contract, model_id="", name=name, version=version, size_bytes=0
        )
        if release := state_of(found).release:
            wrapper = release.versions.onnx
        source = release.source_commit if release else None
        run_id = str(found.run_id) if found.run_id else None
        data = self.client.get_run(run_id).data if run_id else None
        figures = figures_of(data.tags, data.metrics) if data else {}
        return Champion(wrapper=wrapper, run_id=run_id, figures=figures, source=source)

    def aliases(self, name: str) -> dict[str, int]:
        """Return every alias of the registered model ``name``; none if there is no such model."""
        model = if_any(lambda: self.client.get_registered_model(name))
        return {alias: int(version) for alias, version in model.aliases.items()} if model else {}

    def tags(self, name: str, version: int) -> dict[str, str]:
        """Return the tags of one version, as today's format has them."""
        return format_1.upgrade(self.client.get_model_version(name, str(version)).tags)

    def state(self, name: str, version: int) -> VersionTags | None:
        """Return what the tags of one version say; None if there is no such version."""
        found = self.version(name, version)
        return state_of(found) if found else None

    def description(self, name: str, version: int) -> str:
        """Return the Markdown of a version's page."""
        return self.client.get_model_version(name, str(version)).description or ""

    def copies_of(self, model: str, version: int) -> tuple[CopyRequest, ...]:
        """Return what to copy of a version: its own wrapper, and the other one with its key."""
        own = CopyRequest(place=self.copies, name=model, version=version)
        reference = self._reference_of(model, version)
        if reference is None:
            return (own,)
        name = registered_name(model, "transformers")
        changes = {"name": name, "version": reference, "kind": "transformers"}
        return (own, own.model_copy(update=changes))

    def _reference_of(self, model: str, version: int) -> int | None:
        """Return the reference's version of the release of a serving one, which its key pairs."""
        found = self.version(model, version)
        key = found.tags.get(KEY) if found else None
        pairs = self._versions(registered_name(model, "transformers"), key) if key else []
        return int(pairs[0].version) if pairs else None

    def _require_intact(self, release: Release) -> None:
        """Compare what MLflow keeps of a version with the digests in its tags, as a server does.

        Raises:
            MoveRefused: If a file differs, is missing or was added, or if there is no digest.
        """
        wrapper = release.versions.onnx
        if fault := self._fault_of(wrapper.name, wrapper.version):
            reason = f"version {wrapper.version} is not what was released ({fault})"
            advice = "restore MLflow's files of this version, or name another version"
            raise MoveRefused(wrapper.name, reason, advice)

    def _fault_of(self, name: str, version: int, kind: WrapperKind = "onnx") -> str | None:
        """Return why nothing loads what MLflow keeps of a version; None if it may be loaded."""
        try:
            verify(CopyRequest(place=self.copies, name=name, version=version, kind=kind))
        except (ArtifactChanged, VersionRefused) as error:
            return error.reason
        return None

    def _versions(self, name: str, key: str) -> list[Any]:
        found = self.client.search_model_versions(f"name = '{name}' AND tags.`{KEY}` = '{key}'")
        return sorted(found, key=lambda version: int(version.version))

    def _lease(self) -> Lease:
        """Return a new lease for a run that this process writes."""
        return Lease(lock=self._lock_identity())

    def _lock_identity(self) -> str:
        """Return which file locks this process holds."""
        self.locks.mkdir(parents=True, exist_ok=True)
        return lock_identity(self.locks)

    @contextmanager
    def _locked(self, model: str) -> Iterator[None]:
        self.locks.mkdir(parents=True, exist_ok=True)
        with FileLock(self.locks / f"registry-{model}.lock"), self._locked_for_all(model):
            yield

    @contextmanager
    def releasing(self, model: str, tell: Callable[[], object]) -> Iterator[None]:
        """Keep every other release of a model out while the body runs; wait for one that runs.

        Args:
            model: Name of the entry.
            tell: Called before a wait, which lasts for as long as the other one.
        """
        self.locks.mkdir(parents=True, exist_ok=True)
        file = FileLock(self.locks / f"releasing-{model}.lock")
        try:
            file.acquire(blocking=False)
        except Timeout:
            tell()
            file.acquire()
        try:
            with self._locked_for_all(f"{model}/release", tell):
                yield
        finally:
            file.release()

    @contextmanager
    def _locked_for_all(
        self, name: str, tell: Callable[[], object] | None = None
    ) -> Iterator[None]:
        """Keep other machines out as well, where MLflow may have others than this one.

        Who holds the file lock knows that a lock which this home holds too is that of a dead
        process.
        """
        if not self._has_shared_lock:
            yield
            return
        with shared_lock.held(self.client, name, self._lock_identity(), tell) as lock:
            self._shared[name] = lock
            try:
                yield
            finally:
                del self._shared[name]

    @property
    def _has_shared_lock(self) -> bool:
        """Whether there is a lock that all machines see.

        Not where people have roles: MLflow shows them no lock of others, and any of them could hold
        one for good. Open records keep two machines apart there.
        """
        if self.location.uri.startswith("sqlite:"):
            return False
        return self.person is None or (self.person.role == "admin" and not self.has_roles)

    def _require_locked(self, model: str) -> None:
        """Check before a write that no other machine has taken this one for dead meanwhile.

        Raises:
            RegistryConflict: If one has.
        """
        if lock := self._shared.get(model):
            lock.require_held()
