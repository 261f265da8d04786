"""Model → Entry, and what the registry already has of it."""

from functools import cache

from prefect import get_run_logger, task
from prefect.runtime import flow_run

from slipway import catalogue, keys
from slipway.registry.lookup import release_key
from slipway.report import next_steps
from slipway.settings import Settings
from slipway.tracking.signature import require_pair
from slipway.values import Champion, Entry, Release, Revision
from tasks.approval import apply_answer, roll_back_dead, start_form
from tasks.context import registry
from tasks.emit_event import emit_pending_events
from tasks.policies import uncached


@cache
def _warn_once(_run: str | None, warning: str) -> None:
    """Write a warning into the log of a flow run."""
    get_run_logger().warning(warning)


def _warn(warning: str) -> None:
    _warn_once(flow_run.id, warning)


def entry_of(model: str) -> Entry:
    """Return the catalogue's entry ``model``; the run's log has what is outdated in the file."""
    return catalogue.find(Settings().catalogue, model, warn=_warn)


def all_entries() -> tuple[Entry, ...]:
    """Return every entry of the catalogue."""
    return tuple(catalogue.load(Settings().catalogue, warn=_warn).values())


def key_of(entry: Entry, revision: Revision) -> str:
    """Return the release key of what this machine's settings make of ``revision``."""
    return release_key(entry, revision, Settings())


def key_of_repetition(key: str) -> str:
    """Return the key of what this flow run releases once more; the same if the run is retried."""
    return keys.digest([key, flow_run.id])


@task(
    task_run_name="find {entry.name} {key:.8}",
    description="Look in the registry for an earlier release with this key.",
    **uncached(timeout_seconds=600),
)
def find_release(entry: Entry, key: str, *, force: bool) -> Release | None:
    """Return the finished release with this key; None if there is none.

    What a killed run left half done is rolled back before, and an answer that a person gave in the
    MLflow UI is carried out. A release that waits has its form afterwards, and one that is champion
    its event, also if the run that should have seen to it was interrupted.

    Args:
        entry: The model.
        key: Of the release.
        force: Whether it is released again although it is there.

    Raises:
        ExperimentDeleted: If nothing can be logged; better known before anything is built.
        SigningKeyUnusable: If nothing can be signed, and it has to be; likewise.
    """
    registry().require_experiments(entry.name)
    roll_back_dead(entry.name)
    apply_answer(entry)
    emit_pending_events(entry.name)
    release = registry().released(entry.name, key)
    if release is None or (force and release.may_be_repeated):
        require_pair(Settings().signing_key_in_use, Settings().verifier)
    if release and release.waiting:
        start_form(release)
    if release and release.may_be_repeated and entry.target != "candidate":
        _warn_without_champion(release)
    return release


@task(
    task_run_name="look for {entry.name} {key:.8} again",
    description="Look whether another machine has finished the same release meanwhile.",
    **uncached(timeout_seconds=600),
)
def finished_meanwhile(entry: Entry, key: str) -> Release | None:
    """Return the release with this key if another machine has finished it; None if none has.

    Where people have roles, machines have no lock in common, and two may make one release. What
    this one would write into it then is what a server may be reading.
    """
    return registry().released(entry.name, key)


def _warn_without_champion(release: Release) -> None:
    """Say what a person can do where somebody deleted the champion, or took its alias away."""
    model, version = release.versions.model, release.versions.onnx.version
    if registry().champion(model) is None:
        how = next_steps.make_champion(model, version)
        get_run_logger().warning(f"{model} has no champion; {how} makes version {version} champion")


@task(
    task_run_name="find the champion of {entry.name}",
    description="Read the champion, and what was measured of it; every later step uses this one.",
    **uncached(timeout_seconds=600),
)
def find_champion(entry: Entry) -> Champion | None:
    """Return the champion of this moment; None if there is none."""
    return registry().measured_champion(entry.name, entry.wrappers.onnx)
